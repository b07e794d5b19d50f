/run/alice rootlesskit --subid-source=dynamic sh -c "$SHOW"
# It executes /usr/bin/getsubids, by that path.
helper_that_ran /usr/bin/getsubids
