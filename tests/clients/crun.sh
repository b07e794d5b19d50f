# crun, rootless, with three mappings. It runs newgidmap first.
oci_bundle /home/alice/bundle
/run/alice crun --root /run/user/52001/crun run --bundle /home/alice/bundle c1
