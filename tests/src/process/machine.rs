//! Machines of a test: network namespaces that end with it.

use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{self, Command},
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::program;

/// Runs `ip` with these words.
fn ip(arguments: &str) {
    let done = Command::new(program("ip")).args(arguments.split(' ')).output().expect("ip runs");
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A machine with a network of its own.
#[derive(Debug)]
pub struct Machine {
    name: String,
}

impl Machine {
    /// Makes a machine that is on; returns `None`, with a note, for a user who may not.
    #[must_use]
    pub fn new(role: &str) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let machine =
            Self { name: format!("chanwire-{}-{}-{role}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)) };
        machine.turn_on();
        Some(machine)
    }

    /// Turns it on again, without a cable.
    pub fn turn_on(&self) {
        ip(&format!("netns add {}", self.name));
        self.ip("link set lo up");
    }

    /// Turns it off: neither it nor its kernel sends anything any more.
    pub fn turn_off(&self) {
        ip(&format!("netns del {}", self.name));
    }

    /// Runs `ip` with these words on it.
    pub fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.name));
    }

    /// Plugs a cable in, each end with the name and the address (with its network's length) of its interface.
    pub fn connect(&self, (name, address): (&str, &str), other: &Self, (other_name, other_address): (&str, &str)) {
        ip(&format!("link add {name} netns {} type veth peer name {other_name} netns {}", self.name, other.name));
        for (machine, name, address) in [(self, name, address), (other, other_name, other_address)] {
            machine.ip(&format!("addr add {address} dev {name}"));
            machine.ip(&format!("link set {name} up"));
        }
    }

    /// Moves the calling thread onto it: sockets that the thread opens from now on are on its network.
    ///
    /// # Panics
    ///
    /// If it is off.
    pub fn enter(&self) {
        let network = File::open(format!("/run/netns/{}", self.name)).expect("a machine that is on");
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("a right of root");
    }

    /// Returns the words with which a command runs on it.
    #[must_use]
    pub fn inside(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be off.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}
