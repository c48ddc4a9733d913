ipset create bad hash:ip timeout 300
sudo ipset -exist add bad 198.51.100.7
ipset add bad 203.0.113.9 nomatch
