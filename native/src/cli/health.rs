//! `chanwire health`

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use chanwire_inspect::visible;
use clap::Args;
use serde::Serialize;

use super::{Failure, Outcome, text::print};
use crate::{
    config::MetricsAddress,
    local_addresses::reachable,
    metrics::{Check, parse_checks},
};

/// Timeout for the connection and for each read. The server waits a second for its own parts.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 * 1024;

/// Ask a server whether it is ready, for containers and scripts
///
/// Exit code 0 means that it is, 4 that it is not, and 1 that it does not answer. Each check has its line.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// Address of its metrics
    #[arg(long, value_name = "ADDR", env = "CHANWIRE_METRICS_LISTEN", default_value = MetricsAddress::DEFAULT)]
    metrics: MetricsAddress,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The answer, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    checks: Vec<Check>,
}

impl Health {
    pub(super) fn run(&self) -> Result<Outcome, Failure> {
        let Some(address) = self.metrics.0 else {
            return Err(Failure::usage("a server without metrics cannot be asked; name the address with --metrics"));
        };
        let report = ask(reachable(address)).map_err(|cause| {
            format!("no answer from {address}: {cause}; is the server running, and is this its --metrics address?")
        })?;
        let text = match self.json {
            true => serde_json::to_string(&report).map_err(|error| error.to_string())? + "\n",
            false => report.text(),
        };
        print(&text)?;
        Ok(if report.ready { Outcome::Done } else { Outcome::Unable })
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = if self.ready { "ready\n".to_owned() } else { "not ready\n".to_owned() };
        for Check { name, fault } in &self.checks {
            text += &format!("{}: {}\n", visible(name), visible(fault.as_deref().unwrap_or("ok")));
        }
        text
    }
}

/// Asks for all checks by HTTP 1.0, whose answers have no parts to be put together.
fn ask(address: SocketAddr) -> Result<Report, String> {
    let words = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(words)?;
    stream.set_read_timeout(Some(TIMEOUT)).and_then(|()| stream.set_write_timeout(Some(TIMEOUT))).map_err(words)?;
    stream.write_all(format!("GET /readyz?verbose HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).map_err(words)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(words)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| "this is no answer of a chanwire server".into())
}

/// Reads an HTTP answer with checks.
fn parse(answer: &str) -> Option<Report> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let ready = match head.lines().next()?.split(' ').nth(1)? {
        "200" => true,
        "503" => false,
        _ => return None,
    };
    let checks = parse_checks(body);
    (!checks.is_empty()).then_some(Report { ready, checks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_with_checks_is_understood() {
        let report =
            parse("HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\n[+]hub ok\n[-]store commit fails\nfailed\n");
        let report = report.unwrap();
        assert_eq!(report.text(), "not ready\nhub: ok\nstore: commit fails\n");
        assert!(parse("HTTP/1.0 200 OK\r\n\r\n[+]hub ok\nok\n").unwrap().ready);
        for other in ["", "SSH-2.0-x\r\n", "HTTP/1.0 200 OK\r\n\r\n<html>", "HTTP/1.0 404 Not Found\r\n\r\n[+]hub ok\n"]
        {
            assert!(parse(other).is_none(), "{other}");
        }
    }
}
