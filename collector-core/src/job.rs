//! A job: several processes that serve together, each with a run of its own.
//!
//! Launchers tell each process its place. What `KVLENS_JOB`, `KVLENS_RANK` and `KVLENS_WORLD_SIZE` say counts most, then
//! torchrun, Slurm, Open MPI and other PMI launchers, and vLLM's data parallelism.

/// The job that a run is part of.
///
/// ```
/// use kvlens_core::JobInfo;
/// let slurm = [("SLURM_JOB_ID", "811"), ("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "3"), ("SLURM_NTASKS", "64")];
/// let job = JobInfo::from_variables(|name| slurm.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned()));
/// let job = job.unwrap();
/// assert_eq!((job.id.as_str(), job.rank, job.world_size), ("slurm-811.0", Some(3), Some(64)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JobInfo {
    /// The job's identifier, the same in each of its processes.
    pub id: String,
    /// The process's number in the job, from 0.
    pub rank: Option<u32>,
    /// How many processes the job has.
    pub world_size: Option<u32>,
}

/// Where launchers put a process's number, and with it how many there are; the second is needed where the first alone
/// says little.
const RANKS: [(&str, &str); 7] = [
    ("KVLENS_RANK", "KVLENS_WORLD_SIZE"),
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("VLLM_DP_RANK", "VLLM_DP_SIZE"),
];

impl JobInfo {
    /// Names a job.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// Sets the process's number, from 0.
    #[must_use]
    pub fn with_rank(mut self, rank: u32) -> Self {
        self.rank = Some(rank);
        self
    }

    /// Sets how many processes the job has.
    #[must_use]
    pub fn with_world_size(mut self, processes: u32) -> Self {
        self.world_size = Some(processes);
        self
    }

    /// Takes what the environment says; `None` for a process that no launcher started as one of several.
    pub fn from_env() -> Option<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Takes a job that was named by hand, with the rank that the environment says.
    pub fn named(id: impl Into<String>) -> Self {
        Self::new(id).placed(&|name| std::env::var(name).ok())
    }

    /// Takes what variables say, by their names.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        // torchrun says `none` where nobody named the job.
        let torch = || {
            Some(format!(
                "torchrun-{}",
                set("TORCHELASTIC_RUN_ID").filter(|id| id != "none")?
            ))
        };
        let slurm = || {
            set("SLURM_PROCID")?;
            let step = set("SLURM_STEP_ID").map_or(String::new(), |step| format!(".{step}"));
            Some(format!("slurm-{}{step}", set("SLURM_JOB_ID")?))
        };
        let mpi = || {
            Some(format!(
                "mpi-{}",
                set("PMIX_NAMESPACE").or_else(|| set("OMPI_MCA_ess_base_jobid"))?
            ))
        };
        let id = set("KVLENS_JOB").or_else(torch).or_else(slurm).or_else(mpi)?;
        Some(Self::new(id).placed(&set))
    }

    fn placed(self, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| variable(name)?.trim().parse::<u32>().ok();
        let found = RANKS
            .iter()
            .find_map(|(rank, size)| Some((number(rank)?, number(size))));
        match found {
            Some((rank, world_size)) => Self {
                rank: Some(rank),
                world_size,
                ..self
            },
            None => Self {
                world_size: number("KVLENS_WORLD_SIZE"),
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Option<(String, Option<u32>, Option<u32>)> {
        let set = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, v)| (*v).to_owned())
        };
        JobInfo::from_variables(set).map(|job| (job.id, job.rank, job.world_size))
    }

    #[test]
    fn launchers_are_understood_and_our_own_variables_count_more() {
        let torch = [("TORCHELASTIC_RUN_ID", "a1"), ("RANK", "2"), ("WORLD_SIZE", "8")];
        assert_eq!(job(&torch), Some(("torchrun-a1".into(), Some(2), Some(8))));
        let named = [
            ("KVLENS_JOB", "night"),
            ("RANK", "2"),
            ("WORLD_SIZE", "8"),
            ("KVLENS_RANK", "5"),
        ];
        assert_eq!(job(&named), Some(("night".into(), Some(5), None)));
        let mpi = [
            ("PMIX_NAMESPACE", "prterun-7@1"),
            ("OMPI_COMM_WORLD_RANK", "0"),
            ("OMPI_COMM_WORLD_SIZE", "4"),
        ];
        assert_eq!(job(&mpi), Some(("mpi-prterun-7@1".into(), Some(0), Some(4))));
        let vllm = [("KVLENS_JOB", "dp"), ("VLLM_DP_RANK", "1"), ("VLLM_DP_SIZE", "2")];
        assert_eq!(job(&vllm), Some(("dp".into(), Some(1), Some(2))));
    }

    #[test]
    fn a_process_of_its_own_has_no_job() {
        assert_eq!(job(&[]), None);
        // A rank without anything that names the job; a shell inside an allocation; torchrun without an id.
        assert_eq!(job(&[("RANK", "1"), ("WORLD_SIZE", "2")]), None);
        assert_eq!(job(&[("SLURM_JOB_ID", "9")]), None);
        assert_eq!(job(&[("TORCHELASTIC_RUN_ID", "none"), ("RANK", "1")]), None);
        assert_eq!(job(&[("KVLENS_JOB", "")]), None);
        assert_eq!(
            job(&[("KVLENS_JOB", "j"), ("RANK", "many")]),
            Some(("j".into(), None, None))
        );
    }
}
