//! A real S3 server on loopback.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const KEY: &str = "kvlens";
pub(crate) const SECRET: &str = "kvlens-secret";

/// The server; killed when dropped.
pub(crate) struct Server {
    child: Option<Child>,
    port: u16,
    pub(crate) root: PathBuf,
}

impl Server {
    /// Starts one whose objects are under `root`, with a bucket `runs`.
    pub(crate) fn start(root: &Path) -> Self {
        std::fs::create_dir_all(root.join("runs")).unwrap();
        let mut server = Self {
            child: None,
            port: free_port(),
            root: root.to_path_buf(),
        };
        server.restart(SECRET);
        server
    }

    /// Starts it again, on the same port and with the same objects.
    pub(crate) fn restart(&mut self, secret: &str) {
        self.kill();
        let child = Command::new(binary())
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--access-key", KEY, "--secret-key", secret])
            .arg(&self.root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        wait_for(&format!("127.0.0.1:{}", self.port));
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What the environment of a client says.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }

    /// The names of a run's objects, without those of the server itself.
    pub(crate) fn objects(&self, run: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.root.join("runs").join(run), "", &mut found);
        found.sort();
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn walk(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{prefix}{name}/"), found);
        } else if !name.starts_with('.') {
            found.push(format!("{prefix}{name}"));
        }
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// Waits until someone listens.
pub(crate) fn wait_for(address: &str) {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "nobody listens at {address}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The server's program, built if need be.
fn binary() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/s3-server.sh");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the S3 server does not build");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Everything below a directory.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(dir, "", &mut found);
    found.sort();
    found
}

/// Waits until it holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(180), "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
