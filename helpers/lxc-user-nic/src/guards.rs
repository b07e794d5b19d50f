//! What a port of a bridge is kept from, by rule of the host's or always; and whether the kernel has made it so.

use std::mem::discriminant;

use common::policy::settings::{Bridge, in_force, limit};
use rtnetlink::packet_route::link::{BridgeMulticastRouterType, InfoBridgePort};

/// All guards of a port.
#[derive(Debug)]
pub(crate) struct Guards {
    guards: Vec<Guard>,
    /// Does it send from its own address alone?
    pub(crate) locks_mac: bool,
    /// Is a guard that this kernel does not know left out?
    leave_out: bool,
}

#[derive(Debug)]
struct Guard {
    settings: Vec<InfoBridgePort>,
    /// Key and line of the rule that asks for it. None: it is always set.
    rule: Option<(&'static str, u32)>,
}

impl Guards {
    /// For a port of this bridge. A port is not to be a bridge itself (BPDU guard), become the root of the spanning tree, or
    /// attract the multicast of all others: these always.
    pub(crate) fn of(rules: &Bridge, leave_out: bool) -> Self {
        let always = vec![
            InfoBridgePort::Guard(true),
            InfoBridgePort::Protect(true),
            InfoBridgePort::MulticastRouter(BridgeMulticastRouterType::Disabled),
        ];
        let lock_mac = in_force(rules.lock_mac);
        let isolate =
            in_force(rules.isolate).map(|line| ("isolate", line, vec![InfoBridgePort::Isolated(true)]));
        let lock = lock_mac.map(|line| {
            ("lock-mac", line, vec![InfoBridgePort::Locked(true), InfoBridgePort::Learning(false)])
        });
        let groups = limit(rules.max_multicast_groups).map(|groups| {
            ("max-multicast-groups", groups.line, vec![InfoBridgePort::MulticastMaxGroups(groups.value)])
        });
        let by_rule = [isolate, lock, groups].into_iter().flatten();
        let by_rule = by_rule.map(|(key, line, settings)| Guard { settings, rule: Some((key, line)) });
        let guards = std::iter::once(Guard { settings: always, rule: None }).chain(by_rule).collect();
        Self { guards, locks_mac: lock_mac.is_some(), leave_out }
    }

    /// What is asked of the kernel.
    pub(crate) fn settings(&self) -> Vec<InfoBridgePort> {
        self.guards.iter().flat_map(|guard| guard.settings.iter().cloned()).collect()
    }

    /// Compares with what the kernel says. The keys of the rules that it does not know and that may be left out.
    ///
    /// # Errors
    /// One is not set: its rule, or None if it is one that always is.
    pub(crate) fn confirm(
        &self,
        port: &[InfoBridgePort],
    ) -> Result<Vec<&'static str>, Option<(&'static str, u32)>> {
        let mut left_out = Vec::new();
        for Guard { settings, rule } in &self.guards {
            let Some(missing) = settings.iter().find(|setting| !port.contains(setting)) else { continue };
            match rule {
                Some((key, _)) if self.leave_out && !is_known(port, missing) => left_out.push(*key),
                rule => return Err(*rule),
            }
        }
        Ok(left_out)
    }

    /// What the kernel has lost, or has never had. A lower limit than is asked for is none the less one.
    pub(crate) fn lost(&self, port: &[InfoBridgePort]) -> Vec<&InfoBridgePort> {
        let is_so = |wanted: &InfoBridgePort| {
            let InfoBridgePort::MulticastMaxGroups(most) = wanted else { return port.contains(wanted) };
            port.iter().any(
                |now| matches!(now, InfoBridgePort::MulticastMaxGroups(now) if (1..=*most).contains(now)),
            )
        };
        let lost = self.guards.iter().flat_map(|guard| {
            let may_be_left_out = self.leave_out && guard.rule.is_some();
            guard.settings.iter().filter(move |setting| !may_be_left_out || is_known(port, setting))
        });
        lost.filter(|setting| !is_so(setting)).collect()
    }

    /// For a port of Open vSwitch, which has none of these: the rules that are left out.
    ///
    /// # Errors
    /// A rule may not be left out.
    pub(crate) fn without_a_kernel_port(&self) -> Result<Vec<&'static str>, (&'static str, u32)> {
        let rules = self.guards.iter().filter_map(|guard| guard.rule);
        rules.map(|rule| if self.leave_out { Ok(rule.0) } else { Err(rule) }).collect()
    }
}

/// A setting that the kernel knows is among those that it shows, whatever it is set to.
fn is_known(port: &[InfoBridgePort], wanted: &InfoBridgePort) -> bool {
    port.iter().any(|setting| discriminant(setting) == discriminant(wanted))
}

/// What the kernel calls a guard, and the words with which bridge(8) sets it. None: it is no guard.
pub(crate) fn words_of(guard: &InfoBridgePort) -> Option<(&'static str, String)> {
    if let InfoBridgePort::MulticastMaxGroups(most) = guard {
        return Some(("mcast_max_groups", format!("mcast_max_groups {most}")));
    }
    let router = InfoBridgePort::MulticastRouter(BridgeMulticastRouterType::Disabled);
    let all = [
        (InfoBridgePort::Guard(true), "bpdu_guard", "guard on"),
        (InfoBridgePort::Protect(true), "root_block", "root_block on"),
        (router, "multicast_router", "mcast_router 0"),
        (InfoBridgePort::Isolated(true), "isolated", "isolated on"),
        (InfoBridgePort::Locked(true), "locked", "locked on"),
        (InfoBridgePort::Learning(false), "learning", "learning off"),
    ];
    let (_, name, words) = all.into_iter().find(|(known, ..)| known == guard)?;
    Some((name, words.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::policy::settings::Settings;

    fn guards(text: &str, leave_out: bool) -> Guards {
        let settings = Settings::parse(format!("[bridge \"*\"]\n{text}").as_bytes()).unwrap();
        Guards::of(&settings.bridge("br0"), leave_out)
    }

    const ALL: &str = "isolate = yes\nlock-mac = yes\nmax-multicast-groups = 5";

    #[test]
    fn what_is_set_as_asked_is_confirmed() {
        for text in ["", "isolate = no", ALL] {
            let guards = guards(text, false);
            let mut port = guards.settings();
            port.push(InfoBridgePort::HairpinMode(false));
            assert_eq!(guards.confirm(&port), Ok(vec![]), "{text}");
        }
        assert_eq!(guards("", false).settings().len(), 3);
        assert_eq!(guards(ALL, false).settings().len(), 7);
        assert!(guards(ALL, false).locks_mac && !guards("isolate = yes", false).locks_mac);
    }

    #[test]
    fn a_setting_of_another_value_is_refused_even_if_it_may_be_left_out() {
        for leave_out in [false, true] {
            let guards = guards(ALL, leave_out);
            for (number, (rule, wrong)) in [
                (None, InfoBridgePort::Guard(false)),
                (None, InfoBridgePort::Protect(false)),
                (None, InfoBridgePort::MulticastRouter(BridgeMulticastRouterType::Permanent)),
                (Some(("isolate", 2)), InfoBridgePort::Isolated(false)),
                (Some(("lock-mac", 3)), InfoBridgePort::Locked(false)),
                (Some(("lock-mac", 3)), InfoBridgePort::Learning(true)),
                (Some(("max-multicast-groups", 4)), InfoBridgePort::MulticastMaxGroups(0)),
            ]
            .into_iter()
            .enumerate()
            {
                let mut port = guards.settings();
                port[number] = wrong;
                assert_eq!(guards.confirm(&port), Err(rule));
            }
        }
    }

    /// L02
    #[test]
    fn what_the_kernel_does_not_know_is_left_out_only_if_it_may_be() {
        let without = |guards: &Guards, number: usize| {
            let mut port = guards.settings();
            port.remove(number);
            port
        };
        let (strict, lax) = (guards(ALL, false), guards(ALL, true));
        for (number, key) in [(3, "isolate"), (4, "lock-mac"), (6, "max-multicast-groups")] {
            assert_eq!(lax.confirm(&without(&lax, number)), Ok(vec![key]));
            assert_eq!(strict.confirm(&without(&strict, number)).unwrap_err().unwrap().0, key);
        }
        assert_eq!(lax.confirm(&without(&lax, 0)), Err(None), "what is always set is never left out");
        assert_eq!(strict.without_a_kernel_port(), Err(("isolate", 2)));
        assert_eq!(lax.without_a_kernel_port(), Ok(vec!["isolate", "lock-mac", "max-multicast-groups"]));
        assert_eq!(guards("", false).without_a_kernel_port(), Ok(vec![]));
    }

    #[test]
    fn what_is_lost_is_each_setting_that_is_not_so_and_is_not_left_out() {
        let (strict, lax) = (guards(ALL, false), guards(ALL, true));
        assert_eq!(strict.lost(&strict.settings()), Vec::<&InfoBridgePort>::new());
        let others = [
            InfoBridgePort::Guard(false),
            InfoBridgePort::Protect(false),
            InfoBridgePort::MulticastRouter(BridgeMulticastRouterType::Permanent),
            InfoBridgePort::Isolated(false),
            InfoBridgePort::Locked(false),
            InfoBridgePort::Learning(true),
            InfoBridgePort::MulticastMaxGroups(6),
        ];
        for (number, other) in others.into_iter().enumerate() {
            let (mut without, mut wrong) = (strict.settings(), strict.settings());
            let setting = without.remove(number);
            assert!(words_of(&setting).is_some(), "{setting:?}");
            wrong[number] = other;
            assert_eq!((strict.lost(&without), strict.lost(&wrong)), (vec![&setting], vec![&setting]));
            let always = number < 3;
            assert_eq!(lax.lost(&without), if always { vec![&setting] } else { vec![] });
            assert_eq!(lax.lost(&wrong), [&setting]);
        }
        for (groups, is_lost) in [(0, true), (1, false), (5, false), (6, true)] {
            let mut port = strict.settings();
            port[6] = InfoBridgePort::MulticastMaxGroups(groups);
            assert_eq!(!strict.lost(&port).is_empty(), is_lost, "{groups}");
        }
    }
}
