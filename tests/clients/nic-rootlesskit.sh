# rootlesskit --net=lxc-user-nic: it asks for eth0, gives it an MTU of 1500 itself, and gets its address and
# its name server from the DHCP server on the bridge by a client of its own.
bridge lxcbr0 10.0.3.1/24
dhcp lxcbr0
links_are_known
usernet 'alice veth lxcbr0 1'

rootlesskit_stays alice
host_ends
view
try 'another rootlesskit' rootlesskit alice true
rootlesskit_ends
try 'another rootlesskit' rootlesskit alice true
