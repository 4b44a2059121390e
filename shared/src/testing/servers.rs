//! Real SFTP and FTP servers on loopback ports, as child processes over a temporary directory.
//!
//! OpenSSH and ProFTPD are started with configuration files of their own, as whoever runs the tests
//! (root or not, but an account that may sign in: not `nobody`); nothing of the system's
//! configuration is read or changed.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to greet.
const PATIENCE: Duration = Duration::from_secs(20);

/// An OpenSSH server that lets the current user in with one key.
pub struct Sshd {
    process: Server,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The user to sign in as.
    pub user: String,
    /// The fingerprint of its host key.
    pub host_key: String,
    /// A private key it accepts.
    pub private_key: String,
    /// The same key, encrypted with [`Sshd::PASSPHRASE`].
    pub encrypted_key: String,
}

impl Sshd {
    /// What `encrypted_key` is encrypted with.
    pub const PASSPHRASE: &'static str = "open sesame";

    /// Starts the server and waits until it greets.
    pub fn start() -> Self {
        let place = place();
        let home = place.path();
        keygen(home, "host", "");
        keygen(home, "user", "");
        keygen(home, "other", "");
        fs::copy(home.join("user"), home.join("encrypted")).expect("copy the key");
        run(Command::new("ssh-keygen")
            .args(["-q", "-p", "-P", "", "-N", Self::PASSPHRASE, "-f"])
            .arg(home.join("encrypted")));
        let user = run(Command::new("id").arg("-un"));
        if user == "root" {
            // As root, OpenSSH insists on its privilege separation directory.
            fs::create_dir_all("/run/sshd").expect("create /run/sshd");
        }
        let (process, port) = Server::start(place, |home, port| {
            let show = |name: &str| home.join(name).display().to_string();
            let config = format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nPidFile none\n\
                 AuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
                 PasswordAuthentication yes\nKbdInteractiveAuthentication no\n\
                 Subsystem sftp internal-sftp\nLogLevel ERROR\n",
                show("host"),
                show("user.pub"),
            );
            fs::write(home.join("sshd_config"), config).expect("write sshd_config");
            let mut command = Command::new(binary("sshd"));
            command
                .args(["-D", "-e", "-f"])
                .arg(home.join("sshd_config"));
            command
        });
        let home = process.place.path();
        let host_key = fingerprint(&home.join("host.pub"));
        let read = |name: &str| fs::read_to_string(home.join(name)).expect("read a key");
        Self {
            port,
            user,
            host_key,
            private_key: read("user"),
            encrypted_key: read("encrypted"),
            process,
        }
    }

    /// A private key it does not accept.
    pub fn wrong_key(&self) -> String {
        fs::read_to_string(self.process.place.path().join("other")).expect("read a key")
    }

    /// The directory it serves.
    pub fn root(&self) -> PathBuf {
        self.process.root()
    }

    /// The address of that directory.
    pub fn url(&self) -> String {
        let root = self.root();
        format!(
            "sftp://{}@127.0.0.1:{}{}",
            self.user,
            self.port,
            root.display()
        )
    }
}

/// A ProFTPD server with one virtual user who signs in with a password.
pub struct Ftpd {
    process: Server,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The certificate it presents, in the name of `localhost`, as PEM.
    pub certificate: String,
    /// In SFTP mode, the fingerprint of its host key.
    pub host_key: String,
}

/// What a [`Ftpd`] speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// FTP; TLS is required.
    Ftps,
    /// FTP without TLS.
    PlainFtp,
    /// SFTP (its `mod_sftp`), with password sign-in.
    Sftp,
}

impl Ftpd {
    /// The user to sign in as.
    pub const USER: &'static str = "dealer";
    /// That user's password.
    pub const PASSWORD: &'static str = "correct horse";

    /// Starts the server and waits until it greets.
    pub fn start(speaks: Speaks) -> Self {
        let place = place();
        let home = place.path();
        keygen(home, "host", "");
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args(["-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(home.join("tls.key"))
            .arg("-out")
            .arg(home.join("tls.crt")));
        let hash = run(Command::new("openssl").args(["passwd", "-6", Self::PASSWORD]));
        let (uid, gid) = (
            run(Command::new("id").arg("-u")),
            run(Command::new("id").arg("-g")),
        );
        let root = home.join("root").display().to_string();
        let passwd = format!("{}:{hash}:{uid}:{gid}::{root}:/bin/false\n", Self::USER);
        secret_file(&home.join("passwd"), &passwd);
        let (user, group) = (
            run(Command::new("id").arg("-un")),
            run(Command::new("id").arg("-gn")),
        );
        let (process, port) = Server::start(place, |home, port| {
            let show = |name: &str| home.join(name).display().to_string();
            let mut config = format!(
                "ServerType standalone\nDefaultAddress 127.0.0.1\nSocketBindTight on\nPort {port}\n\
                 UseIPv6 off\nUser {user}\nGroup {group}\nUmask 022\nRequireValidShell off\n\
                 RootLogin on\nAuthOrder mod_auth_file.c\nAuthUserFile {}\nPidFile {}\n\
                 ScoreboardFile {}\nDelayEngine off\nSystemLog {}\nWtmpLog off\nUseReverseDNS off\n\
                 TimesGMT on\nMaxInstances 20\n",
                show("passwd"),
                show("pid"),
                show("scoreboard"),
                show("log"),
            );
            config.push_str(&match speaks {
                Speaks::PlainFtp => String::new(),
                Speaks::Ftps => format!(
                    "LoadModule mod_tls.c\nTLSEngine on\nTLSRequired on\nTLSProtocol TLSv1.2 TLSv1.3\n\
                     TLSECCertificateFile {}\nTLSECCertificateKeyFile {}\nTLSLog {}\n",
                    show("tls.crt"), show("tls.key"), show("tls.log"),
                ),
                Speaks::Sftp => format!(
                    "LoadModule mod_sftp.c\nSFTPEngine on\nSFTPHostKey {}\nSFTPLog {}\nSFTPAuthMethods password\n",
                    show("host"), show("sftp.log"),
                ),
            });
            fs::write(home.join("proftpd.conf"), config).expect("write proftpd.conf");
            let mut command = Command::new(binary("proftpd"));
            command
                .args(["-n", "-q", "-c"])
                .arg(home.join("proftpd.conf"));
            command
        });
        let home = process.place.path();
        let certificate = fs::read_to_string(home.join("tls.crt")).expect("read the certificate");
        Self {
            port,
            certificate,
            host_key: fingerprint(&home.join("host.pub")),
            process,
        }
    }

    /// The directory it serves.
    pub fn root(&self) -> PathBuf {
        self.process.root()
    }

    /// The address of that directory for a URL scheme.
    pub fn url(&self, scheme: &str) -> String {
        let root = self.root();
        format!(
            "{scheme}://{}@localhost:{}{}",
            Self::USER,
            self.port,
            root.display()
        )
    }
}

/// A child process that ends with its owner.
struct Server {
    child: Child,
    place: TempDir,
}

impl Server {
    /// Starts what `command` makes for a free port, and waits for its greeting. The port can be
    /// lost to another process before the server binds it; then another one is tried.
    fn start(place: TempDir, command: impl Fn(&Path, u16) -> Command) -> (Self, u16) {
        let mut place = place;
        for _ in 0..5 {
            let port = free_port();
            let stderr = place.path().join("stderr");
            let log = fs::File::create(&stderr).expect("create the server's log");
            let mut command = command(place.path(), port);
            let child = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn();
            let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
            let mut server = Self { child, place };
            if server.greets(port) {
                return (server, port);
            }
            let said = fs::read_to_string(&stderr).unwrap_or_default();
            assert!(
                said.to_lowercase().contains("in use"),
                "{command:?} ended without greeting: {said}"
            );
            place = server.into_place();
        }
        panic!("no port stayed free for long enough");
    }

    /// Whether the server's first byte arrives before the server ends.
    fn greets(&mut self, port: u16) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self
                .child
                .try_wait()
                .expect("ask after the server")
                .is_some()
            {
                return false;
            }
            if let Ok(mut stream) = TcpStream::connect(address) {
                stream
                    .set_read_timeout(Some(PATIENCE))
                    .expect("set a timeout");
                if matches!(stream.read(&mut [0]), Ok(1)) {
                    return true;
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server on port {port} did not greet within {PATIENCE:?}");
    }

    fn into_place(mut self) -> TempDir {
        self.stop();
        std::mem::replace(&mut self.place, place())
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("root")
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A directory for keys and configuration, with the served directory `root` in it.
fn place() -> TempDir {
    let place = tempfile::tempdir().expect("create a temporary directory");
    fs::create_dir(place.path().join("root")).expect("create the served directory");
    place
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a port");
    listener.local_addr().expect("the bound port").port()
}

fn keygen(home: &Path, name: &str, passphrase: &str) {
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
        .arg(home.join(name)));
}

fn fingerprint(public_key: &Path) -> String {
    let line = run(Command::new("ssh-keygen").arg("-lf").arg(public_key));
    line.split(' ').nth(1).expect("a fingerprint").to_owned()
}

fn secret_file(path: &Path, text: &str) {
    fs::write(path, text).expect("write a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("protect a file");
}

/// Runs a small program to its end and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "cannot run {:?} ({error}): run tests/setup.sh",
            command.get_program()
        )
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Where a server's program is; daemons are often not on the path.
fn binary(name: &str) -> PathBuf {
    let candidates = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    let mut candidates = candidates.iter().map(|folder| Path::new(folder).join(name));
    candidates
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed: run tests/setup.sh"))
}
