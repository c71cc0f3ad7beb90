//! What an upload came to.

use kvlens_schema::manifest::ManifestUpload;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an upload came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UploadReport {
    /// The run's URL.
    pub url: String,
    /// Where the run is, or was, on disk.
    pub directory: PathBuf,
    /// Whether the store has the whole run, its manifest included.
    pub complete: bool,
    /// Files that the store has, its manifest not counted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that failed and were tried again.
    pub retries: u64,
    /// Times that the store took nothing.
    pub outages: u64,
    /// How long it took nothing, over all of them.
    pub outage: Duration,
    /// The most bytes that waited at once.
    pub backlog_bytes_max: u64,
    /// Files that were given up because too much waited.
    pub dropped_files: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Files that are still on disk only.
    pub left_files: u64,
    /// Their bytes.
    pub left_bytes: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl UploadReport {
    pub(crate) fn new(url: &str, directory: &Path) -> Self {
        Self {
            url: url.to_owned(),
            directory: directory.to_path_buf(),
            ..Self::default()
        }
    }

    /// Whether the store has the whole run, its manifest included.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What its owner should know, in words: nothing when all went well, be it after an outage.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.dropped_files > 0 {
            problems.push(format!(
                "{} files ({}) were given up: `{}` took nothing for so long that more than the limit waited",
                self.dropped_files,
                bytes(self.dropped_bytes),
                self.url
            ));
        }
        if !self.complete {
            let cause = self.last_error.as_deref().unwrap_or("the manifest is not there");
            let directory = self.directory.display();
            problems.push(format!(
                "`{}` is not complete: {} files ({}) and the manifest are in {directory} only, because {cause}; \
                 `kvlens upload {directory}` sends them",
                self.url,
                self.left_files,
                bytes(self.left_bytes),
            ));
        }
        problems
    }

    pub(crate) fn manifest(&self) -> ManifestUpload {
        let mut upload = ManifestUpload::new(&self.url);
        upload.files = self.files;
        upload.bytes = self.bytes;
        upload.retries = self.retries;
        upload.outages = self.outages;
        upload.outage_ns = u64::try_from(self.outage.as_nanos()).unwrap_or(u64::MAX);
        upload.backlog_bytes_max = self.backlog_bytes_max;
        upload.dropped_files = self.dropped_files;
        upload.dropped_bytes = self.dropped_bytes;
        upload
    }
}

/// Bytes for people.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1_000.0 {
            break;
        }
        (value, unit) = (value / 1_000.0, next);
    }
    if unit == "bytes" {
        format!("{bytes} bytes")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_left_and_how_to_send_it() {
        let mut report = UploadReport::new("s3://b/run_id=x", Path::new("/spool/run_id=x"));
        report.left_files = 3;
        report.left_bytes = 12_000_000;
        report.last_error = Some("it is down".to_owned());
        let text = report.problems().join("\n");
        assert!(text.contains("3 files (12.0 MB)"), "{text}");
        assert!(
            text.contains("because it is down; `kvlens upload /spool/run_id=x` sends them"),
            "{text}"
        );
        report.complete = true;
        assert!(report.problems().is_empty());
        assert_eq!(bytes(999), "999 bytes");
    }
}
