//! A naive decoder: it has the whole stream, reads it as often as it likes, and follows the protocol's fault table row
//! by row. The incremental decoder must give the same result.

use chanwire_core::{
    Span,
    wire::{FaultKind, MAX_DEPTH, Place, Skipped, StartLine},
};

use crate::stream::Seen;

/// Returns the items of a stream that has ended.
#[must_use]
pub fn items<H: StartLine>(stream: &[u8], limit: usize) -> Vec<Seen<H>> {
    let mut model = Model { stream, limit, at: 0, items: Vec::new() };
    while model.at < stream.len() && model.step() {}
    if model.at < stream.len() {
        model.items.push(Seen::Skipped(model.span(model.at, stream.len()), Skipped::Discarded));
    }
    model.items
}

struct Model<'a, H> {
    stream: &'a [u8],
    limit: usize,
    at: usize,
    items: Vec<Seen<H>>,
}

/// The end of an object or array, or why it is not known: the fault, its byte, and the first byte not looked at.
enum Extent {
    End(usize),
    Fault(FaultKind, usize, usize),
    Cut,
}

impl<H: StartLine> Model<'_, H> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.stream.get(at).copied()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(start as u64, end as u64)
    }

    fn run(&self, from: usize, member: impl Fn(u8) -> bool) -> usize {
        self.stream.iter().skip(from).take_while(|byte| member(**byte)).count()
    }

    fn space(&self, from: usize) -> usize {
        self.run(from, |byte| byte == b' ' || byte == b'\t' || byte == b'\r' || byte == b'\n')
    }

    /// Adds the fault; `true` if the stream goes on after it.
    fn fault(&mut self, start: usize, end: usize, at: Option<usize>, head: &str, kind: FaultKind) -> bool {
        let (span, at) = (self.span(start, end), at.map(|at| at as u64));
        self.items.push(Seen::Fault { span, at, head: head.into(), kind });
        self.at = end;
        matches!(
            kind,
            FaultKind::BareLf
                | FaultKind::BareCr
                | FaultKind::UnknownStartLine
                | FaultKind::Stray
                | FaultKind::PayloadIsArray
        )
    }

    /// Takes what stands next; `false` when the conversation is over.
    fn step(&mut self) -> bool {
        let space = self.space(self.at);
        if space > 0 {
            self.items.push(Seen::Skipped(self.span(self.at, self.at + space), Skipped::WhiteSpace));
            self.at += space;
            return true;
        }
        match self.byte(self.at) {
            Some(b'{' | b'[') => self.stray(),
            _ => self.line(),
        }
    }

    /// Returns whether an object here belongs to the line before it.
    fn owned(&self) -> bool {
        let before = self.items.iter().rev().find(|item| !matches!(item, Seen::Skipped(_, Skipped::WhiteSpace)));
        match before {
            Some(Seen::Frame { head, .. }) => !head.takes_payload(),
            Some(Seen::Fault { kind, .. }) => {
                matches!(kind, FaultKind::BareLf | FaultKind::BareCr | FaultKind::UnknownStartLine)
            }
            _ => false,
        }
    }

    fn stray(&mut self) -> bool {
        let (start, owned) = (self.at, self.owned());
        match self.extent(start) {
            Extent::End(end) if owned => {
                self.items.push(Seen::Skipped(self.span(start, end), Skipped::Object));
                self.at = end;
                true
            }
            Extent::End(end) => self.fault(start, end, Some(start), "", FaultKind::Stray),
            Extent::Fault(kind, at, end) => self.fault(start, end, Some(at), "", kind),
            Extent::Cut => self.fault(start, self.stream.len(), None, "", FaultKind::Incomplete(Place::Skipped)),
        }
    }

    fn line(&mut self) -> bool {
        let start = self.at;
        let letters = self.run(start, |byte| byte == b'_' || byte.is_ascii_alphabetic());
        let end = start + letters;
        let word = self.stream.get(start..end.min(start + 32)).unwrap_or_default();
        let word = String::from_utf8_lossy(word).into_owned();
        if letters > 32 {
            return self.fault(start, start + 33, Some(start + 32), &word, FaultKind::LongStartLine);
        }
        match (self.byte(end), self.byte(end + 1)) {
            (Some(b'\r'), Some(b'\n')) if letters > 0 => match H::parse(word.as_bytes()) {
                None => self.fault(start, end + 2, None, &word, FaultKind::UnknownStartLine),
                Some(head) => self.frame(start, end, head),
            },
            (None, _) | (Some(b'\r'), None) => {
                self.fault(start, self.stream.len(), None, &word, FaultKind::Incomplete(Place::StartLine))
            }
            (Some(b'\r'), _) if letters > 0 => self.fault(start, end + 1, Some(end), &word, FaultKind::BareCr),
            (Some(b'\n'), _) if letters > 0 => self.fault(start, end + 1, Some(end), &word, FaultKind::BareLf),
            _ if letters == 32 => self.fault(start, end + 1, Some(end), &word, FaultKind::LongStartLine),
            (Some(byte), _) => {
                let kind = FaultKind::BadByte { byte, offset: letters as u64 };
                self.fault(start, end + 1, Some(end), &word, kind)
            }
        }
    }

    fn frame(&mut self, start: usize, word_end: usize, head: H) -> bool {
        let separator_end = word_end + 2;
        let payload = separator_end + if head.takes_payload() { self.space(separator_end) } else { 0 };
        let end = if !head.takes_payload() {
            payload
        } else {
            match self.byte(payload) {
                None => {
                    let kind = FaultKind::Incomplete(Place::BeforePayload);
                    return self.fault(start, payload, None, head.name(), kind);
                }
                Some(byte) if byte != b'{' && byte != b'[' => {
                    let kind = FaultKind::PayloadNotObject { byte };
                    return self.fault(start, payload + 1, Some(payload), head.name(), kind);
                }
                Some(byte) => match self.extent(payload) {
                    Extent::End(end) if byte == b'[' => {
                        return self.fault(start, end, Some(payload), head.name(), FaultKind::PayloadIsArray);
                    }
                    Extent::End(end) => end,
                    Extent::Fault(kind, at, end) => return self.fault(start, end, Some(at), head.name(), kind),
                    Extent::Cut => {
                        let kind = FaultKind::Incomplete(Place::Payload);
                        return self.fault(start, self.stream.len(), None, head.name(), kind);
                    }
                },
            }
        };
        self.items.push(Seen::Frame {
            head,
            start_line_span: self.span(start, word_end),
            separator: self.span(word_end, separator_end),
            payload_span: self.span(payload, end),
            payload: self.stream.get(payload..end).unwrap_or_default().to_vec(),
        });
        self.at = end;
        true
    }

    /// Follows brackets with a stack of what would close them.
    fn extent(&self, start: usize) -> Extent {
        let (mut closers, mut in_string) = (Vec::new(), false);
        for (offset, byte) in self.stream.iter().copied().enumerate().skip(start).map(|(at, byte)| (at - start, byte)) {
            let at = start + offset;
            if offset == self.limit {
                return Extent::Fault(FaultKind::TooLarge { limit: self.limit }, at, at);
            }
            match byte {
                b'"' if in_string => {
                    let before = self.stream.get(start..at).unwrap_or_default();
                    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
                    in_string = backslashes % 2 == 1;
                }
                b'"' => in_string = true,
                _ if in_string => {}
                b'{' | b'[' if closers.len() == MAX_DEPTH as usize => {
                    return Extent::Fault(FaultKind::TooDeep { offset: offset as u64 }, at, at + 1);
                }
                b'{' => closers.push('}'),
                b'[' => closers.push(']'),
                b'}' | b']' => match closers.pop() {
                    Some(expected) if expected != char::from(byte) => {
                        let kind = FaultKind::Mismatch { offset: offset as u64, expected };
                        return Extent::Fault(kind, at, at + 1);
                    }
                    _ if closers.is_empty() => return Extent::End(at + 1),
                    _ => {}
                },
                _ => {}
            }
        }
        Extent::Cut
    }
}
