/ip firewall address-list
add address=198.51.100.7 comment="a long one, which\
    \ goes on" list=bad
add address=203.0.113.9 list=whitelist
