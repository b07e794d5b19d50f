/run/alice rootlesskit sh -c "$SHOW"
