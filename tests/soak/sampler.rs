//! Looks, all the time, whether there are more interfaces than a quota says.
//!
//! A look at a directory takes some time, in which one interface may go and another come. So what counts is what two looks
//! after each other have both seen: as no name comes twice, all of that was there at once, between the two.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::nics::PLACES;
use super::{FIRST_UID, Soak, USERS, count};

pub(crate) fn watch(soak: &Soak<'_>, done: &AtomicBool) {
    let mut before = PLACES.each_ref().map(|_| BTreeSet::new());
    while !done.load(Ordering::Relaxed) && !soak.is_over() {
        for (place, before) in PLACES.iter().zip(&mut before) {
            // What is attached to nothing is in no such list.
            if place.bridge == "none" {
                continue;
            }
            let now = ports(place.bridge);
            let there: BTreeSet<&String> = before.intersection(&now).collect();
            let most = place.of_all().unwrap_or(place.of_each() * USERS);
            let mut sound = there.len() <= most;
            for uid in (FIRST_UID..).take(USERS) {
                let name = format!("veth{uid}_");
                sound &= there.iter().filter(|port| port.starts_with(&name)).count() <= place.of_each();
            }
            soak.check(sound, || format!("too many at once on {}: {there:?}", place.bridge));
            *before = now;
        }
        count(&soak.counts.looks);
        std::thread::sleep(Duration::from_millis(4));
    }
}

fn ports(bridge: &str) -> BTreeSet<String> {
    let ports = fs::read_dir(format!("/sys/class/net/{bridge}/brif")).expect("a bridge");
    ports.filter_map(|port| port.ok()?.file_name().into_string().ok()).collect()
}
