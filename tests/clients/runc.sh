# runc, rootless, with three mappings. It runs the helpers with an empty environment.
oci_bundle /home/alice/bundle
/run/alice runc --root /run/user/52001/runc run --bundle /home/alice/bundle c1
