//! Reads the packets of a pcap or pcapng capture.

use super::{
    ImportOptions, ReadError, Sink, Summary,
    connections::Connections,
    container::Container,
    link::{self, Content, PacketKind, link_name},
    packet::{Packet, Step},
    summary::OtherPackets,
};
use crate::Time;

/// A reader of the packets of one capture.
#[derive(Debug)]
pub(super) struct Packets {
    container: Container,
    connections: Connections,
    /// The latest packet time.
    time: Time,
    packets: u64,
    other: OtherPackets,
}

impl Packets {
    /// Returns the name of the container: pcap or pcapng.
    pub(super) const fn container(&self) -> &'static str {
        self.container.name()
    }

    pub(super) fn new(container: Container, options: ImportOptions) -> Self {
        Self {
            container,
            connections: Connections::new(options.everything),
            time: Time::UNKNOWN,
            packets: 0,
            other: OtherPackets::default(),
        }
    }

    /// Reads all complete packets. Returns the number of bytes used.
    pub(super) fn read(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> (usize, Result<(), ReadError>) {
        let mut used = 0;
        loop {
            match self.container.step(bytes.get(used..).unwrap_or_default()) {
                Ok(Step::Read(length, packet)) => {
                    if let Some(packet) = packet {
                        self.take(&packet, sink);
                    }
                    used += length;
                }
                Ok(Step::Incomplete) => return (used, Ok(())),
                Err(error) => return (used, Err(error)),
            }
        }
    }

    pub(super) fn take(&mut self, packet: &Packet<'_>, sink: &mut dyn Sink) {
        self.packets += 1;
        self.time = self.time.max(packet.time);
        match link::content(packet) {
            Content::Tcp { from, to, segment } => {
                if self.container.is_own() {
                    self.connections.show_all();
                }
                let over = packet.over.as_deref();
                self.connections.take(packet.time, (from, to), &segment, over, sink);
            }
            Content::Other(kind) => {
                self.other.count(kind);
                if kind == PacketKind::Link {
                    self.other.link = Some(packet.link);
                }
            }
        }
    }

    /// Ends the capture and adds its counts to the summary. Fails if the capture has packets of an unsupported link
    /// type only.
    pub(super) fn finish(&mut self, sink: &mut dyn Sink, summary: &mut Summary) -> Result<(), ReadError> {
        summary.add(&self.connections.finish(self.time, sink));
        summary.packets = self.packets;
        summary.other = self.other;
        summary.broken_blocks = self.container.broken();
        match self.other.link.filter(|_| summary.connections == 0) {
            None => Ok(()),
            Some(link) => Err(format!(
                "the packets are of link type {link}{}, which is not understood; capture on an Ethernet, loopback or \
                 `any` interface",
                link_name(link)
            )
            .into()),
        }
    }
}
