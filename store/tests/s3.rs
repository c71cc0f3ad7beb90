//! Against a real S3 server on loopback: what arrives, and what stays when it does not.

mod common;

use common::server::{SECRET, Server, files, until};
use common::{Written, options, steps};
use kvlens_schema::RunManifest;
use kvlens_store::{UploadOptions, Uploader, download, upload};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const URL: &str = "s3://runs/of/today";

/// The run `x` of a spool, with a place for its server's objects.
struct Scene {
    dir: tempfile::TempDir,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            notices: Arc::default(),
        }
    }

    fn server(&self) -> Server {
        Server::start(&self.dir.path().join("server"))
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn run(&self) -> PathBuf {
        self.spool().join("run_id=x")
    }

    /// Waits as long as it takes on a machine with other work.
    fn options(&self) -> UploadOptions {
        let notices = self.notices.clone();
        UploadOptions::default()
            .with_patience(Duration::from_secs(120))
            .on_notice(move |text| notices.lock().unwrap().push(text.to_owned()))
    }

    /// For an end that can't come.
    fn impatient(&self) -> UploadOptions {
        self.options().with_patience(Duration::from_secs(3))
    }

    fn begin(&self, server: &Server, upload: UploadOptions) -> (Uploader, Written) {
        let store = kvlens_store::open(URL, &options(server)).unwrap();
        let uploader = Uploader::start(&store, &self.run(), upload).unwrap();
        (uploader, Written::begin(&self.spool(), "x"))
    }

    fn notices(&self) -> String {
        self.notices.lock().unwrap().join("\n")
    }

    fn fetch(&self, server: &Server) -> PathBuf {
        let cache = self.dir.path().join("cache");
        let url = format!("{URL}/run_id=x");
        download(&url, &cache, &options(server), u64::MAX).unwrap().path
    }
}

fn all(rows: u64) -> Vec<u64> {
    (0..rows).collect()
}

#[test]
fn a_thousand_parts_arrive_and_the_spool_is_empty() {
    let scene = Scene::new();
    let server = scene.server();
    let (uploader, mut written) = scene.begin(&server, scene.options());
    assert_eq!(server.objects("of/today/run_id=x"), ["_open.json"]);
    written.parts(1_000);
    let rows = written.finish();
    let report = uploader.finish();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(
        (report.files, report.left_files, report.dropped_files),
        (1_000, 0, 0)
    );
    assert!(!scene.run().exists(), "{:?}", files(&scene.spool()));
    let objects = server.objects("of/today/run_id=x");
    assert_eq!(
        objects.len(),
        1_001,
        "the parts, the manifest, and nothing that is open"
    );
    let fetched = scene.fetch(&server);
    assert_eq!(steps(&fetched), all(rows));
    let manifest = RunManifest::read(&fetched).unwrap();
    let told = manifest.upload.unwrap();
    assert!(manifest.clean_stop);
    assert_eq!(
        (told.url, told.files, told.bytes),
        (report.url, 1_000, report.bytes)
    );
    let again = download(
        &format!("{URL}/run_id=x"),
        &scene.dir.path().join("cache"),
        &options(&server),
        0,
    );
    assert!(again.unwrap_err().to_string().contains("more than the 0"));
    let cached = download(URL, &scene.dir.path().join("cache"), &options(&server), u64::MAX).unwrap();
    assert_eq!((cached.fetched, cached.reused), (0, 1_001));
}

#[test]
fn a_server_that_is_killed_and_comes_back_loses_nothing() {
    let scene = Scene::new();
    let mut server = scene.server();
    let (uploader, mut written) = scene.begin(&server, scene.options());
    for round in 0..3 {
        written.parts(40);
        let arrived = || server.objects("of/today/run_id=x/steps").len() > round * 45;
        until("the first part", arrived);
        server.kill();
        written.parts(5);
        let outages = || scene.notices().matches("fail, parts wait").count() > round;
        until("the notice of an outage", outages);
        server.restart(SECRET);
    }
    let rows = written.finish();
    let report = uploader.finish();
    assert!(report.is_complete(), "{report:?}");
    assert!(report.outages >= 3 && report.retries >= 3, "{report:?}");
    assert!(scene.notices().contains("go on after"), "{}", scene.notices());
    assert_eq!(steps(&scene.fetch(&server)), all(rows));
    assert!(!scene.run().exists());
}

#[test]
fn a_server_that_stays_away_leaves_the_run_on_disk_and_a_later_upload_ends_it() {
    let scene = Scene::new();
    let mut server = scene.server();
    let (uploader, mut written) = scene.begin(&server, scene.impatient());
    written.parts(10);
    until("the first part", || {
        !server.objects("of/today/run_id=x/steps").is_empty()
    });
    server.kill();
    written.parts(20);
    let rows = written.finish();
    let report = uploader.finish();
    assert!(!report.is_complete() && report.left_files >= 20, "{report:?}");
    let told = report.problems().join("\n");
    let run = scene.run();
    assert!(
        told.contains(&format!("`kvlens upload {}` sends them", run.display())),
        "{told}"
    );
    assert!(run.join("run.json").is_file());

    server.restart(SECRET);
    assert!(
        !server
            .objects("of/today/run_id=x")
            .contains(&"run.json".to_owned())
    );
    let report = upload(&run, None, &options(&server), &scene.options()).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(!run.exists());
    assert_eq!(steps(&scene.fetch(&server)), all(rows));
}

#[test]
fn wrong_credentials_are_told_at_once_and_in_mid_run_the_data_stays() {
    let scene = Scene::new();
    let mut server = scene.server();
    let wrong = options(&server).with("aws_secret_access_key", "wrong");
    let store = kvlens_store::open(URL, &wrong).unwrap();
    let refused = Uploader::start(&store, &scene.run(), scene.options())
        .unwrap_err()
        .chain();
    assert!(
        refused.contains("no usable credentials") && refused.contains("AWS_SECRET_ACCESS_KEY"),
        "{refused}"
    );
    assert!(!scene.run().exists(), "nothing is left behind");

    let (uploader, mut written) = scene.begin(&server, scene.impatient());
    written.parts(3);
    until("the first parts", || {
        server.objects("of/today/run_id=x/steps").len() == 3
    });
    server.restart("changed");
    written.parts(3);
    until("the notice", || scene.notices().contains("no usable credentials"));
    let rows = written.finish();
    let report = uploader.finish();
    assert!(!report.is_complete() && report.left_files >= 3, "{report:?}");
    assert!(
        report.problems().join("").contains("no usable credentials"),
        "{report:?}"
    );
    let right = options(&server).with("aws_secret_access_key", "changed");
    assert!(
        upload(&scene.run(), None, &right, &scene.options())
            .unwrap()
            .is_complete()
    );
    server.restart(SECRET);
    assert_eq!(steps(&scene.fetch(&server)), all(rows));
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let scene = Scene::new();
    let server = scene.server();
    let store = kvlens_store::open("s3://nobodys/prefix", &options(&server)).unwrap();
    let refused = Uploader::start(&store, &scene.run(), scene.options())
        .unwrap_err()
        .chain();
    assert!(
        refused.contains("nobodys") && refused.contains("check the bucket's name"),
        "{refused}"
    );
    assert!(!scene.run().exists());
    // A run that is on disk stays there.
    let mut written = Written::begin(&scene.spool(), "x");
    written.parts(2);
    let rows = written.finish();
    let refused = upload(
        &scene.run(),
        Some("s3://nobodys"),
        &options(&server),
        &scene.options(),
    );
    assert!(refused.unwrap_err().chain().contains("nobodys"));
    assert_eq!(steps(&scene.run()), all(rows));
    let refused = upload(&scene.run(), None, &options(&server), &scene.options())
        .unwrap_err()
        .chain();
    assert!(refused.contains("--to"), "{refused}");
}

#[test]
fn a_server_without_space_leaves_the_data_on_disk() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::mount(&scene.dir.path().join("server")) else {
        return;
    };
    let server = scene.server();
    let (uploader, mut written) = scene.begin(&server, scene.impatient());
    written.parts(600);
    let rows = written.finish();
    let report = uploader.finish();
    assert!(
        !report.is_complete() && report.left_files > 0 && report.files > 0,
        "{report:?}"
    );
    assert!(
        scene.notices().contains("fail, parts wait in"),
        "{}",
        scene.notices()
    );
    disk.grow();
    let report = upload(&scene.run(), None, &options(&server), &scene.options()).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(steps(&scene.fetch(&server)), all(rows));
}

#[test]
fn large_files_go_in_pieces() {
    let scene = Scene::new();
    let server = scene.server();
    let (uploader, mut written) = scene.begin(&server, scene.options());
    written.parts(1);
    let content: Vec<u8> = (0..23_000_001_u32).map(|at| (at % 251) as u8).collect();
    fs::write(scene.run().join("steps.csv"), &content).unwrap();
    written.finish();
    let report = uploader.finish();
    assert!(report.is_complete(), "{report:?}");
    let arrived = fs::read(scene.fetch(&server).join("steps.csv")).unwrap();
    assert!(arrived == content, "{} bytes", arrived.len());
}

#[test]
fn what_waits_is_bounded_and_what_is_given_up_is_counted() {
    let scene = Scene::new();
    let mut server = scene.server();
    let (uploader, mut written) = scene.begin(&server, scene.options().with_spool_limit(200_000));
    server.kill();
    written.parts(300);
    until("the first loss", || scene.notices().contains("are given up"));
    let rows = written.finish();
    server.restart(SECRET);
    let report = uploader.finish();
    assert!(report.is_complete(), "{report:?}");
    assert!(
        report.dropped_files > 0 && report.backlog_bytes_max > 200_000,
        "{report:?}"
    );
    assert!(report.problems().join("").contains("were given up"));
    let fetched = scene.fetch(&server);
    let lost = report.dropped_files * Written::PART_ROWS;
    assert_eq!(steps(&fetched).len() as u64, rows - lost);
    let told = RunManifest::read(&fetched).unwrap().upload.unwrap();
    assert_eq!(
        (told.dropped_files, told.dropped_bytes),
        (report.dropped_files, report.dropped_bytes)
    );
}

#[test]
fn a_run_is_never_written_over() {
    let scene = Scene::new();
    let server = scene.server();
    let (uploader, written) = scene.begin(&server, scene.options());
    written.finish();
    assert!(uploader.finish().is_complete());
    let refused = Uploader::start(
        &kvlens_store::open(URL, &options(&server)).unwrap(),
        &scene.run(),
        scene.options(),
    )
    .unwrap_err()
    .chain();
    assert!(refused.contains("exists already"), "{refused}");
}

/// A file system of a megabyte, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and a word about it, where this process may not mount.
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(path)
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(path.to_path_buf()));
        }
        eprintln!("skipped: this process may not mount a file system of its own");
        None
    }

    fn grow(&self) {
        let grown = Command::new("mount")
            .args(["-o", "remount,size=64m"])
            .arg(&self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
