# nov/28/2026 10:11:12 by RouterOS 7.11.2
# software id = ABCD-1234
#
/ip firewall address-list
add address=198.51.100.7 comment="ssh brute" list=blacklist
add address=203.0.113.0/24 list=blacklist timeout=1d2h3m
add address=192.0.2.1-192.0.2.9 disabled=yes list=blacklist
add address=bad.example.com list=blacklist
add list=office address=192.0.2.128/25
/ipv6 firewall address-list
add address=2001:db8:1::/48 list=blacklist
