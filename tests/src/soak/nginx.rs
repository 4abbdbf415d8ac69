//! nginx with the same bytes as files: what everybody would take for the cheapest way to answer.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::ensure;
use tokio::process::Command;

use crate::{process::Process, programs::bare, raw, stage::Stage, wait};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Its master.
    pub process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Nginx {
    /// Serves `dir/NAME` at `/v1/registration/NAME`; with `wrapper` (such as valgrind) in a single process below that.
    pub async fn start(stage: &Stage, dir: &Path, wrapper: Option<Command>) -> anyhow::Result<Self> {
        let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let run = stage.file("nginx");
        fs::create_dir_all(&run)?;
        let config = run.join("nginx.conf");
        fs::write(&config, text(addr, dir, &run, wrapper.is_some()))?;
        let mut command = match wrapper {
            Some(mut wrapper) => {
                wrapper.arg("/usr/sbin/nginx");
                wrapper
            }
            None => bare(Path::new("/usr/sbin/nginx")),
        };
        command.arg("-p").arg(&run).arg("-c").arg(&config).arg("-e").arg("stderr");
        let mut process = stage.spawn("nginx", command)?;
        wait::until("nginx to answer", wait::SOON, async || {
            ensure!(process.ended()?.is_none(), "it has ended:\n{}", process.log().tail(10));
            raw::request(addr, "GET", "/", b"").await
        })
        .await?;
        Ok(Self { process, addr })
    }
}

fn text(addr: SocketAddr, dir: &Path, run: &Path, single: bool) -> String {
    let (dir, run) = (dir.display(), run.display());
    let master = if single { "master_process off;" } else { "worker_processes auto;" };
    // As root its workers would become another user, who may not be able to read the files; else this line is ignored.
    format!(
        "daemon off; user root; pid {run}/pid; {master}
         events {{ worker_connections 1024; }}
         http {{
             access_log off; default_type application/json;
             sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 1h;
             client_body_temp_path {run}/a; proxy_temp_path {run}/b; fastcgi_temp_path {run}/c;
             uwsgi_temp_path {run}/d; scgi_temp_path {run}/e;
             server {{ listen {addr}; location /v1/registration/ {{ alias {dir}/; }} }}
         }}"
    )
}
