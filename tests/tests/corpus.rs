//! The fuzz targets of tests/fuzz, on what is known to be worth a look, at every `cargo test`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use world::tree;

#[path = "../fuzz/src/targets.rs"]
mod targets;

use targets::TARGETS;

/// D04, D06, D07, D09, D10, D13, D17, D21, D24, H07, H10, J02, J03, J06: and what else fuzzing has found.
#[test]
fn every_input_of_the_corpus_passes() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (path, data) in inputs {
            if catch_unwind(AssertUnwindSafe(|| target(&data))).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// E10: a million decisions are those of a set of 64-bit numbers.
#[test]
fn a_million_random_decisions_are_what_the_model_says() {
    let decide = |number| {
        let mut dice = Dice(number);
        let bytes: Vec<u8> = (0..20 + dice.below(60)).map(|_| dice.byte()).collect();
        targets::decision(&bytes);
    };
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (0..500_000).map(|number| 2 * number + half).for_each(decide));
        }
    });
}

/// One input's head with another's tail, and a byte or two changed: where a fuzzer would go first.
#[test]
fn spliced_and_damaged_inputs_of_the_corpus_pass_as_well() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        for number in 0..3000 {
            let mut dice = Dice(number);
            let [head, tail] = [(); 2].map(|()| &inputs[dice.below(inputs.len())].1);
            let mut data = head[..dice.below(head.len() + 1)].to_vec();
            data.extend(&tail[dice.below(tail.len() + 1)..]);
            for _ in 0..dice.below(3) {
                let (place, byte) = (dice.below(data.len() + 1), dice.byte());
                data.splice(place..data.len().min(place + dice.below(2)), [byte]);
            }
            if catch_unwind(AssertUnwindSafe(|| target(&data))).is_err() {
                panic!("{name}: \"{}\"", data.escape_ascii());
            }
        }
    }
}

#[test]
fn every_target_has_a_program_to_fuzz_it_and_nothing_else_has() {
    let names: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(entries("corpus"), names);
    assert_eq!(entries("fuzz_targets"), names.iter().map(|name| format!("{name}.rs")).collect::<Vec<_>>());
    for name in names {
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("targets::{name}(data)")), "{program}");
    }
}

fn fuzz() -> PathBuf {
    tree().join("tests/fuzz")
}

fn entries(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(fuzz().join(directory)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = format!("corpus/{target}");
    let path = |name: String| fuzz().join(&directory).join(name);
    entries(&directory).into_iter().map(path).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from(mixed >> 33).unwrap() % end
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}
