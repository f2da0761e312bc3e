//! The ways of keeping a process tree together. Which of them holds on a host is `detect`'s to find out.

/// How a process tree is kept together and killed, strongest first. In every one a supervisor process stands between worker and program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Strategy {
    /// A cgroup (version 2) per tree: one write kills it whole, forks in flight included.
    Cgroup,
    /// A PID namespace per tree, by `unshare`: the kernel kills it with its first process.
    PidNamespace,
    /// The supervisor adopts all orphans and kills descendants until none is left. A tree that forks faster than it is walked may outrun it
    /// for a while.
    Subreaper,
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cgroup => "cgroup",
            Self::PidNamespace => "pid-namespace",
            Self::Subreaper => "subreaper",
        })
    }
}

/// What was chosen, and why nothing stronger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StrategyReport {
    /// The strategy in use.
    pub strategy: Strategy,
    /// The stronger ones that do not hold here, with the reason.
    pub rejected: Vec<(Strategy, String)>,
}
