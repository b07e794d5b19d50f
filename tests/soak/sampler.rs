//! Looks, all the time, whether there are more interfaces than a quota says.
//!
//! A look at a directory takes some time, in which one interface may go and another come. So what counts is what two looks
//! after each other have both seen: as no name comes twice, all of that was there at once, between the two.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::nics::PLACES;
use super::{FIRST_UID, Soak, USERS, count};

/// All of them for so long: that is no busy machine.
const HANGS: Duration = Duration::from_secs(180);

pub(crate) fn watch(soak: &Soak<'_>, done: &AtomicBool) {
    let mut before = PLACES.each_ref().map(|_| BTreeSet::new());
    let (mut runs, mut since) = (0, Instant::now());
    while !done.load(Ordering::Relaxed) {
        // Nobody is left who could say that a helper does not end.
        let now = soak.counts.runs.load(Ordering::Relaxed);
        if now != runs {
            (runs, since) = (now, Instant::now());
        } else if since.elapsed() > HANGS {
            println!("FAILED: for {HANGS:?} no helper has ended, after {runs} runs");
            std::process::exit(1);
        }
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
