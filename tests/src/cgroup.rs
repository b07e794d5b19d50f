//! Control groups that limit the number of processes, of either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A control group of this machine's that a test alone uses. It goes with the value; those below it have to go first.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// At the top of the first version's hierarchy of `pids`, or of the second version's.
    ///
    /// # Panics
    /// This machine has neither.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let [first, second] = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        Self::make(if first.is_dir() { first } else { second }, name)
    }

    /// # Panics
    /// As [`Cgroup::new`].
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        Self::make(&self.0, name)
    }

    fn make(above: &Path, name: &str) -> Self {
        let group = above.join(format!("nsgate-test-{}-{name}", std::process::id()));
        assert!(above.join("cgroup.procs").exists(), "{} is no control group", above.display());
        fs::create_dir(&group).expect("make a control group");
        Self(group)
    }

    /// At most so many processes, or "max". Of the second version, what is just above is to have none from then on.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn limit(&self, pids: &str) {
        let switch = self.0.with_file_name("cgroup.subtree_control");
        if switch.exists() {
            fs::write(switch, "+pids").expect("this host has the pids controller");
        }
        fs::write(self.limit_file(), pids).expect("limit");
    }

    /// Where the limit is set.
    #[must_use]
    pub fn limit_file(&self) -> PathBuf {
        self.0.join("pids.max")
    }

    /// Where processes are put into it.
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Puts a process into it.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn take(&self, pid: &str) {
        fs::write(self.processes(), pid).expect("move a process");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What was in it may take a moment to end.
        let start = Instant::now();
        while fs::remove_dir(&self.0).is_err() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
