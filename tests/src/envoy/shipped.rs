//! A configuration as it is shipped, made to run here: only addresses are changed, and each change must find its place, so
//! that a test cannot go on without what it came for.

use std::net::SocketAddr;

use anyhow::ensure;

/// The text of a file of `docker/envoy`.
#[derive(Debug, Clone)]
pub struct Shipped {
    pub(super) text: String,
    pub(super) args: Vec<String>,
    pub(super) service: String,
}

impl Shipped {
    /// Of this text, with ports of its own on loopback; `service` is its first cluster.
    pub fn new(text: &str, service: &str, registry: &[SocketAddr]) -> anyhow::Result<Self> {
        let shipped = Self { text: text.to_owned(), args: Vec::new(), service: service.to_owned() };
        let host = |addr: &SocketAddr| {
            let (ip, port) = (addr.ip(), addr.port());
            format!("        - endpoint: {{address: {{socket_address: {{address: {ip}, port_value: {port}}}}}}}\n")
        };
        let hosts: String = registry.iter().map(host).collect();
        let named = "        - endpoint: {address: {socket_address: {address: sds-api, port_value: 8080}}}\n";
        let shipped = shipped.with(named, &hosts)?.with("{address: 0.0.0.0, port_value: 9903}", LOOPBACK)?;
        // Not all have a listener of their own for requests.
        let text = ["0.0.0.0", "127.0.0.1"]
            .iter()
            .fold(shipped.text, |text, ip| text.replace(&format!("{{address: {ip}, port_value: 10000}}"), LOOPBACK));
        Ok(Self { text, ..shipped })
    }

    /// With all that stands in it as an option: lines that begin with `#` and no space.
    pub fn with_options(self) -> anyhow::Result<Self> {
        let option = |line: &str| {
            let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
            let rest = rest.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#']) && !rest.is_empty());
            rest.map_or_else(|| line.to_owned(), |rest| format!("{indent}{rest}"))
        };
        let text: Vec<_> = self.text.lines().map(option).collect();
        let text = text.join("\n") + "\n";
        ensure!(text != self.text, "it has no options");
        Ok(Self { text, ..self })
    }

    /// Its statistics go to this listener.
    pub fn statsd(self, addr: SocketAddr) -> anyhow::Result<Self> {
        self.with(
            "address: 127.0.0.1, port_value: 8125",
            &format!("address: {}, port_value: {}", addr.ip(), addr.port()),
        )
    }

    /// It shows the metrics of the sidecar whose page this is.
    pub fn sidecar(self, addr: SocketAddr) -> anyhow::Result<Self> {
        self.with("port_value: 9902", &format!("port_value: {}", addr.port()))
    }

    /// Which task it is of, told on the command line, as the file says.
    pub fn of_task(mut self, cluster: &str, node: &str) -> anyhow::Result<Self> {
        ensure!(!self.text.contains("fixed_value: front"), "the file says it itself");
        let tags = [("service_cluster", cluster), ("service_node", node)]
            .map(|(name, value)| format!("{{tag_name: {name}, fixed_value: {value}}}"));
        let tags = format!("stats_config: {{stats_tags: [{}]}}", tags.join(", "));
        self.args =
            ["--service-cluster", cluster, "--service-node", node, "--config-yaml", &tags].map(str::to_owned).into();
        Ok(self)
    }

    /// Its admin page at this port; the listener for metrics leads to it, so it cannot be left to the kernel.
    pub(super) fn admin(&self, port: u16) -> String {
        self.text.replace("port_value: 9901", &format!("port_value: {port}"))
    }

    fn with(self, from: &str, to: &str) -> anyhow::Result<Self> {
        ensure!(self.text.contains(from), "it has no '{}'", from.trim());
        Ok(Self { text: self.text.replace(from, to), ..self })
    }
}

const LOOPBACK: &str = "{address: 127.0.0.1, port_value: 0}";
