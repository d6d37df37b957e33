//! An answer to LIST in pieces that the versions of the list share.
//!
//! ```text
//!   Version 7 ──┬──────────────► Group ──► Piece, Piece, …
//!               └─► Group ──┬─────────────────────► Piece
//!   Version 8 ──┬───────────┼──► (the same)           ▲
//!               └─► Group ──┴──► Piece (changed), …  ─┘
//! ```
//!
//! The owner of the list keeps its versions alive. A connection has a [`Listing`], which keeps nothing alive, and the
//! bytes that it writes next. So the owner decides how much memory past versions take, whatever the peers read.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    fmt, mem,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::wire::{LIST_END, LIST_SEPARATOR, LIST_START};

/// A handle to one version of the list of channels, to answer LIST with.
///
/// A version is never changed. Its owner may withdraw it once it is not the current one any more: a connection that is
/// still sending it is then reset.
#[derive(Clone)]
pub struct Listing(Arc<Handle>);

struct Handle {
    version: Weak<Version>,
    len: usize,
    /// The number of the version that was the latest when a reader of this one last got on with it.
    progress: AtomicUsize,
    account: Arc<Account>,
}

/// The account that the versions of one list share.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Bytes that all versions hold together, each shared one counted once.
    held: AtomicUsize,
    /// The number of the latest version.
    latest: AtomicUsize,
    /// The number of answers that were given to connections.
    answers: AtomicUsize,
}

impl Account {
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

/// Bytes that count as held while this exists.
#[derive(Debug)]
struct Held {
    account: Arc<Account>,
    bytes: usize,
}

impl Held {
    fn new(account: &Arc<Account>, bytes: usize) -> Self {
        account.held.fetch_add(bytes, Ordering::Relaxed);
        Self { account: account.clone(), bytes }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Channels that stand together, encoded, each behind a separator.
#[derive(Debug)]
pub(crate) struct Piece {
    /// A position not above that of its first channel.
    pub(crate) start: u64,
    pub(crate) bytes: Arc<[u8]>,
    held: Held,
}

impl Piece {
    pub(crate) fn new(start: u64, bytes: Arc<[u8]>, account: &Arc<Account>) -> Arc<Self> {
        let size = bytes.len() + mem::size_of::<Self>();
        Arc::new(Self { start, bytes, held: Held::new(account, size) })
    }
}

/// Pieces that stand together, never none.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) pieces: Vec<Arc<Piece>>,
    /// Bytes of its channels.
    len: usize,
    /// Bytes that it and its pieces hold.
    weight: usize,
    _held: Held,
}

impl Group {
    pub(crate) fn new(pieces: Vec<Arc<Piece>>, account: &Arc<Account>) -> Arc<Self> {
        let own = mem::size_of::<Self>() + pieces.len() * mem::size_of::<Arc<Piece>>();
        let len = pieces.iter().map(|piece| piece.bytes.len()).sum();
        let weight = own + pieces.iter().map(|piece| piece.held.bytes).sum::<usize>();
        Arc::new(Self { pieces, len, weight, _held: Held::new(account, own) })
    }

    /// Returns a position not above that of its first channel.
    pub(crate) fn start(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.start)
    }
}

/// A list of at most so many bytes is joined from its pieces once, so that its answers are written in one piece.
const JOINED: usize = 64 * 1024;

/// The list at one moment.
#[derive(Debug)]
pub(crate) struct Version {
    groups: Vec<Arc<Group>>,
    /// All channels, if they are few.
    joined: Option<Arc<[u8]>>,
    /// Bytes that it holds, those that it shares among them.
    pub(crate) weight: usize,
    _held: Held,
}

impl Version {
    /// Makes the next version, and a handle to it.
    pub(crate) fn new(groups: &[Arc<Group>], account: &Arc<Account>) -> (Arc<Self>, Listing) {
        let groups = groups.to_vec();
        let channels: usize = groups.iter().map(|group| group.len).sum();
        let pieces = || groups.iter().flat_map(|group| &group.pieces);
        let join = || pieces().map(|piece| &*piece.bytes).collect::<Vec<_>>().concat().into();
        let joined: Option<Arc<[u8]>> = (channels <= JOINED && pieces().nth(1).is_some()).then(join);
        let own = mem::size_of::<Self>()
            + groups.len() * mem::size_of::<Arc<Group>>()
            + joined.as_ref().map_or(0, |bytes| bytes.len());
        let weight = own + groups.iter().map(|group| group.weight).sum::<usize>();
        let len = LIST_START.len() + channels.saturating_sub(LIST_SEPARATOR.len()) + LIST_END.len();
        let version = Arc::new(Self { groups, joined, weight, _held: Held::new(account, own) });
        let number = account.latest.fetch_add(1, Ordering::Relaxed) + 1;
        let handle = Handle {
            version: Arc::downgrade(&version),
            len,
            progress: AtomicUsize::new(number),
            account: account.clone(),
        };
        (version, Listing(Arc::new(handle)))
    }

    /// Returns its pieces, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Arc<Piece>> {
        self.groups.iter().flat_map(|group| &group.pieces)
    }

    fn piece(&self, group: usize, piece: usize) -> Option<&Arc<[u8]>> {
        match &self.joined {
            Some(joined) => ((group, piece) == (0, 0)).then_some(joined),
            None => Some(&self.groups.get(group)?.pieces.get(piece)?.bytes),
        }
    }
}

impl Listing {
    /// Returns the size of the answer in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len
    }

    /// Returns the whole answer; `None` if it was withdrawn.
    #[must_use]
    pub fn to_vec(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.size());
        self.append_to(&mut out).then_some(out)
    }

    /// Appends the whole answer, unless it was withdrawn.
    #[must_use]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) -> bool {
        let Some(version) = self.0.version.upgrade() else { return false };
        out.extend_from_slice(LIST_START);
        for (index, piece) in version.pieces().enumerate() {
            out.extend_from_slice(piece.bytes.get(skipped(index == 0)..).unwrap_or_default());
        }
        out.extend_from_slice(LIST_END);
        true
    }

    /// Returns whether only the caller has this version. Nobody else can get it then.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Returns the number of the version that was the latest when a reader of this one last got on.
    pub(crate) fn progress(&self) -> usize {
        self.0.progress.load(Ordering::Relaxed)
    }

    /// Notes that it is given to a connection.
    pub(crate) fn count_answer(&self) {
        self.0.account.answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the number of bytes of a piece that are not written: before the first channel there is no separator.
const fn skipped(is_first: bool) -> usize {
    if is_first { LIST_SEPARATOR.len() } else { 0 }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listing of {} bytes", self.size())
    }
}

/// Two handles are equal if they are of the same version.
impl PartialEq for Listing {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Listing {}

/// The pieces of an answer that a connection has not taken yet.
#[derive(Debug)]
pub(crate) struct Unread {
    listing: Listing,
    group: usize,
    piece: usize,
}

impl Unread {
    pub(crate) const fn new(listing: Listing) -> Self {
        Self { listing, group: 0, piece: 0 }
    }

    /// Gives `take` the next pieces, each with how many bytes of it are to be skipped, until that says to stop. Returns
    /// whether there are more; `None` if the version was withdrawn.
    pub(crate) fn take(&mut self, mut take: impl FnMut(&Arc<[u8]>, usize) -> bool) -> Option<bool> {
        let version = self.listing.0.version.upgrade()?;
        let handle = &self.listing.0;
        handle.progress.fetch_max(handle.account.latest.load(Ordering::Relaxed), Ordering::Relaxed);
        while let Some(piece) = version.piece(self.group, self.piece) {
            let goes_on = take(piece, skipped((self.group, self.piece) == (0, 0)));
            self.piece += 1;
            if version.piece(self.group, self.piece).is_none() {
                (self.group, self.piece) = (self.group + 1, 0);
            }
            if !goes_on {
                break;
            }
        }
        Some(version.piece(self.group, self.piece).is_some())
    }
}
