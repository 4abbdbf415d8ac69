//! The program as a process: exit codes, the one line of a mistake, environment variables, signals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail as the test does")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tokio::time::Instant;

/// A program that sees these variables and no others.
fn sidecar(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sds-sidecar"));
    command.env_clear().envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const GOOD: [(&str, &str); 5] = [
    ("SDS_API_URL", "http://127.0.0.1:1"),
    ("SDS_SERVICE", "web"),
    ("SDS_PORT", "8080"),
    ("SDS_HOST", "10.0.0.1"),
    ("SDS_CHECK", "tcp://:8080"),
];

fn refused(change: (&str, &str)) -> Output {
    let began = Instant::now();
    let output = sidecar(&[&GOOD[..], &[change]].concat()).output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    output
}

#[test]
fn a_mistake_is_one_line_and_64() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (variable, value) in [
        ("SDS_INTERVAL", "0"),
        ("SDS_TIMEOUT", "2s"),
        ("SDS_CHECK", "http://:9902/"),
        ("SDS_LINGER", "25s"),
        ("SDS_SERVICE", ""),
        ("SDS_CANARY", "1"),
        ("SDS_ADMIN_LISTEN", taken.as_str()),
    ] {
        let output = refused((variable, value));
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{variable}={value}: {line}");
        assert!(line.starts_with(&format!("{variable}: ")) && line.matches('\n').count() == 1, "{line}");
    }
}

#[test]
fn without_authorities_a_certificate_cannot_be_verified() {
    let variables = [
        ("SDS_CHECK", "https://:8443/"),
        ("SDS_ADMIN_LISTEN", "127.0.0.1:0"),
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_DIR", "/dev/null"),
    ];
    let output = sidecar(&[&GOOD[..], &variables].concat()).output().unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    let expected = "SDS_CHECK: https://:8443/: this system has no certificate authorities: set 'ca' or 'skip_verify'\n";
    assert_eq!((output.status.code(), line.as_str()), (Some(64), expected));
}

#[test]
fn version_and_help_are_no_mistakes() {
    for flag in ["--version", "--help"] {
        let output = sidecar(&[]).arg(flag).output().unwrap();
        assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("sds-sidecar"));
    }
}

#[test]
fn nobody_is_healthy_where_nobody_runs() {
    let nobody = sidecar(&[("SDS_ADMIN_LISTEN", "127.0.0.1:1")]).arg("healthcheck").output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
}

/// Everything quick, and the admin page at whatever port is free.
const HASTY: [(&str, &str); 5] = [
    ("SDS_INTERVAL", "100ms"),
    ("SDS_TIMEOUT", "50ms"),
    ("SDS_LINGER", "100ms"),
    ("SDS_STOP_TIMEOUT", "11"),
    ("SDS_ADMIN_LISTEN", "127.0.0.1:0"),
];

/// A registry that answers everything well, one request a connection; with the methods that it was asked with.
fn registry() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = mpsc::channel();
    let told = r#"{"lease_ms":3000,"heartbeat_ms":1000,"version":"v","vouched":true}"#;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            // To the end of the JSON, or of a DELETE's head: closing with bytes unread would reset the connection.
            let ends = |request: &[u8]| if request.starts_with(b"DELETE") { b"\r\n\r\n".as_slice() } else { b"}" };
            while !request.ends_with(ends(&request)) {
                match stream.read(&mut piece) {
                    Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{told}", told.len());
            let method = request.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            let _ = sender.send(String::from_utf8_lossy(method).into_owned());
        }
    });
    (format!("http://{address}"), asked)
}

/// The value after `addr=` in the line that tells the admin's address.
fn admin(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("admin listening")).expect("a line that tells the address");
    // Somebody must go on reading, else the pipe fills.
    thread::spawn(move || lines.count());
    line.rsplit_once("addr=").unwrap().1.to_owned()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_misspelt_variable_and_a_check_that_never_passes_are_told() {
    let slips = [("SDS_LINGR", "5s"), ("SDS_CHECK", "tcp://127.0.0.1:1"), ("SDS_ADMIN_LISTEN", "127.0.0.1:0")];
    let mut child = sidecar(&[&GOOD[..], &slips].concat()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    for expected in ["checks=\"tcp://127.0.0.1:1\"", "variable=\"SDS_LINGR\"", "has not passed its check yet"] {
        assert!(lines.any(|line| line.contains(expected)), "{expected}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn registers_is_healthy_and_ends_on_sigterm() {
    let app = TcpListener::bind("127.0.0.1:0").unwrap();
    let ((api, _asked), check) = (registry(), format!("tcp://{}", app.local_addr().unwrap()));
    let variables = [("SDS_API_URL", api.as_str()), ("SDS_CHECK", &check), ("SDS_WEIGHT", "")];
    let mut child = sidecar(&[&GOOD[..], &HASTY, &variables].concat()).spawn().unwrap();
    let admin = admin(&mut child);
    let healthy = || sidecar(&[("SDS_ADMIN_LISTEN", &admin)]).arg("healthcheck").output().unwrap().status.success();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !healthy() {
        assert!(Instant::now() < deadline, "registered within 10 s");
    }
    for (path, said) in [("livez", "ok"), ("readyz", "ok"), ("metrics", "sds_sidecar_ready 1")] {
        let answer = get(&admin, path);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(said), "{path}: {answer}");
    }
    let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A log driver that is stuck, or that is gone: nobody reads the log, and the sidecar must not care.
#[test]
fn a_log_that_nobody_takes_stops_nothing() {
    let (stuck, full) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&full, 4096).unwrap();
    (&full).write_all(&[b'x'; 4096]).unwrap();
    let (reader, broken) = std::io::pipe().unwrap();
    drop(reader);
    let app = TcpListener::bind("127.0.0.1:0").unwrap();
    for log in [full, broken] {
        let ((api, asked), check) = (registry(), format!("tcp://{}", app.local_addr().unwrap()));
        let variables =
            [&GOOD[..], &HASTY, &[("SDS_API_URL", api.as_str()), ("SDS_CHECK", &check), ("SDS_LOG", "debug")]].concat();
        let mut command = sidecar(&variables);
        command.stderr(log.try_clone().unwrap()).stdout(log);
        let mut child = command.spawn().unwrap();
        let registered = asked.recv_timeout(Duration::from_secs(10));
        let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        let goodbye = asked.iter().take_while(|method| registered.is_ok() && method != "DELETE").count();
        if registered.is_err() {
            child.kill().unwrap();
        }
        assert!(signalled.success() && goodbye > 0, "it registers and drains");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    drop(stuck);
}
