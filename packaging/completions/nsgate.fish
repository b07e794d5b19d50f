# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_nsgate_global_optspecs
    string join \n root= json color= h/help V/version
end

function __fish_nsgate_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_nsgate_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_nsgate_using_subcommand
    set -l cmd (__fish_nsgate_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c nsgate -n "__fish_nsgate_needs_command" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_needs_command" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_needs_command" -s V -l version -d 'Print version'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "check" -d 'Look for mistakes in the policy files. Status 0: none, 1: warnings, 2: errors'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "explain" -d 'Say what the helpers would answer, and why, without doing it. Status 0: yes, 1: no'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "show" -d 'Draw who owns which ids, or list interfaces'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "doctor" -d 'Look for what keeps containers from starting on this machine, or makes them unsafe'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "grant" -d 'Give a user host ids, or a user or group interfaces'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "revoke" -d 'Take them back'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "edit" -d 'Edit a policy file safely: locked, checked, and installed whole'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "gc" -d 'Remove what interfaces and bridges that are gone have left behind'
complete -c nsgate -n "__fish_nsgate_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand check" -l help-rule -d 'Explain a rule, by its id, instead' -r
complete -c nsgate -n "__fish_nsgate_using_subcommand check" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand check" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand check" -l strict -d 'Warnings are errors: status 2 for them too'
complete -c nsgate -n "__fish_nsgate_using_subcommand check" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -f -a "map" -d 'A map of newuidmap or newgidmap'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -f -a "nic" -d 'An interface of lxc-user-nic'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -f -a "id" -d 'Who may use a host id, and which running container does'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and not __fish_seen_subcommand_from map nic id help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from map" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from map" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from map" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from map" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from nic" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from nic" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from nic" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from nic" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from id" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from id" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from id" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from id" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "map" -d 'A map of newuidmap or newgidmap'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "nic" -d 'An interface of lxc-user-nic'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "id" -d 'Who may use a host id, and which running container does'
complete -c nsgate -n "__fish_nsgate_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand show" -l svg -d 'Write the picture to FILE, as SVG, as well' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand show" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand show" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand doctor" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand doctor" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand doctor" -l fix -d 'Mend what can be mended safely, after asking'
complete -c nsgate -n "__fish_nsgate_using_subcommand doctor" -l yes -d 'Do not ask'
complete -c nsgate -n "__fish_nsgate_using_subcommand doctor" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and not __fish_seen_subcommand_from ids nic help" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and not __fish_seen_subcommand_from ids nic help" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and not __fish_seen_subcommand_from ids nic help" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and not __fish_seen_subcommand_from ids nic help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and not __fish_seen_subcommand_from ids nic help" -f -a "ids" -d 'Host ids, of users and of groups: the same in /etc/subuid and /etc/subgid'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and not __fish_seen_subcommand_from ids nic help" -f -a "nic" -d 'Interfaces on a bridge'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and not __fish_seen_subcommand_from ids nic help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -l count -d 'How many' -r
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -l start -d 'The first one; without it, the first free run of ids' -r
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -l force -d 'Also ids that somebody has already'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -l dry-run -d 'Print the lines, change nothing'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from ids" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from nic" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from nic" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from nic" -l dry-run -d 'Print the line, change nothing'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from nic" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from nic" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from help" -f -a "ids" -d 'Host ids, of users and of groups: the same in /etc/subuid and /etc/subgid'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from help" -f -a "nic" -d 'Interfaces on a bridge'
complete -c nsgate -n "__fish_nsgate_using_subcommand grant; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and not __fish_seen_subcommand_from ids nic help" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and not __fish_seen_subcommand_from ids nic help" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and not __fish_seen_subcommand_from ids nic help" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and not __fish_seen_subcommand_from ids nic help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and not __fish_seen_subcommand_from ids nic help" -f -a "ids" -d 'Host ids: all, or those from --start on'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and not __fish_seen_subcommand_from ids nic help" -f -a "nic" -d 'Interfaces on a bridge'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and not __fish_seen_subcommand_from ids nic help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from ids" -l start -d 'The first one' -r
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from ids" -l count -d 'How many from there on' -r
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from ids" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from ids" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from ids" -l dry-run -d 'Print what would change, change nothing'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from ids" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from ids" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from nic" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from nic" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from nic" -l dry-run -d 'Print what would change, change nothing'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from nic" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from nic" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from help" -f -a "ids" -d 'Host ids: all, or those from --start on'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from help" -f -a "nic" -d 'Interfaces on a bridge'
complete -c nsgate -n "__fish_nsgate_using_subcommand revoke; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand edit" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand edit" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand edit" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand edit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand gc" -l root -d 'Work on the machine whose root directory is DIR, such as an image, instead of this one' -r -F
complete -c nsgate -n "__fish_nsgate_using_subcommand gc" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb'
always\t'Also into a pipe'
never\t'Not at all'"
complete -c nsgate -n "__fish_nsgate_using_subcommand gc" -l dry-run -d 'Say what would be removed, remove nothing'
complete -c nsgate -n "__fish_nsgate_using_subcommand gc" -l json -d 'Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md'
complete -c nsgate -n "__fish_nsgate_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "check" -d 'Look for mistakes in the policy files. Status 0: none, 1: warnings, 2: errors'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "explain" -d 'Say what the helpers would answer, and why, without doing it. Status 0: yes, 1: no'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "show" -d 'Draw who owns which ids, or list interfaces'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "doctor" -d 'Look for what keeps containers from starting on this machine, or makes them unsafe'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "grant" -d 'Give a user host ids, or a user or group interfaces'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "revoke" -d 'Take them back'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "edit" -d 'Edit a policy file safely: locked, checked, and installed whole'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "gc" -d 'Remove what interfaces and bridges that are gone have left behind'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and not __fish_seen_subcommand_from check explain show doctor grant revoke edit gc help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "map" -d 'A map of newuidmap or newgidmap'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "nic" -d 'An interface of lxc-user-nic'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "id" -d 'Who may use a host id, and which running container does'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and __fish_seen_subcommand_from grant" -f -a "ids" -d 'Host ids, of users and of groups: the same in /etc/subuid and /etc/subgid'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and __fish_seen_subcommand_from grant" -f -a "nic" -d 'Interfaces on a bridge'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and __fish_seen_subcommand_from revoke" -f -a "ids" -d 'Host ids: all, or those from --start on'
complete -c nsgate -n "__fish_nsgate_using_subcommand help; and __fish_seen_subcommand_from revoke" -f -a "nic" -d 'Interfaces on a bridge'
