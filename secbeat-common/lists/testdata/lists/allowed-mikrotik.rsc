# 2024-01-01 by RouterOS 7.10
/ip firewall address-list
add address=192.0.2.5 list=allowed_admins
add address=192.0.2.6 list=ip_whitelist
add address=192.0.2.7 list=trusted
add address=10.0.0.0/8 list=LAN
add address=198.51.100.7 list=blacklist
