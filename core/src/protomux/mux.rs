//! One stream, many channels (`protomux/index.js`): opens that meet become a channel; what nobody wants is rejected.

use super::event::{ChannelId, MuxError, MuxEvent, MuxLimits};
use super::frame::{self, Batch, CLOSE, OPEN, Open, REJECT};
use crate::encoding::{Reader, Writer};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

type Key = (String, Option<Vec<u8>>);

/// One side of a multiplexed stream.
#[derive(Debug)]
pub struct Mux {
    limits: MuxLimits,
    aliases: Vec<(String, String)>,
    local: Vec<Option<ChannelId>>,
    free: Vec<u64>,
    remote: Vec<Option<Remote>>,
    channels: BTreeMap<ChannelId, Channel>,
    meeting: BTreeMap<Key, Meeting>,
    /// Numbers of ours whose open was not answered.
    opening: BTreeMap<u64, Key>,
    pending_opens: usize,
    buffered: usize,
    corks: u32,
    batch: Batch,
    events: VecDeque<MuxEvent>,
    next_channel: u64,
}

/// Opens of one protocol and id that have not met.
#[derive(Debug, Default)]
struct Meeting {
    open: usize,
    outgoing: VecDeque<u64>,
    incoming: VecDeque<u64>,
}

#[derive(Debug)]
struct Channel {
    key: Key,
    local_id: u64,
    remote_id: Option<u64>,
}

/// A channel of the other side.
#[derive(Debug)]
enum Remote {
    Pending { key: Key, handshake: Bytes, messages: Vec<(u64, Bytes)> },
    Open(ChannelId),
}

impl Mux {
    /// A mux over a fresh stream. `aliases` are other names of protocols: (alias, protocol).
    pub fn new(limits: MuxLimits, aliases: &[(&str, &str)]) -> Self {
        Self {
            limits,
            aliases: aliases.iter().map(|(alias, name)| (alias.to_string(), name.to_string())).collect(),
            local: Vec::new(),
            free: Vec::new(),
            remote: Vec::new(),
            channels: BTreeMap::new(),
            meeting: BTreeMap::new(),
            opening: BTreeMap::new(),
            pending_opens: 0,
            buffered: 0,
            corks: 0,
            batch: Batch::default(),
            events: VecDeque::new(),
            next_channel: 0,
        }
    }

    /// Opens a channel; `None` when this protocol and id are open here already.
    pub fn open(&mut self, protocol: &str, id: Option<&[u8]>, handshake: &[u8]) -> Option<ChannelId> {
        let key = self.key(protocol, id);
        let meeting = self.meeting.entry(key.clone()).or_default();
        if meeting.open > 0 {
            return None;
        }
        meeting.open = meeting.open.saturating_add(1);
        let incoming = meeting.incoming.pop_front();
        let channel = ChannelId(self.next_channel);
        self.next_channel = self.next_channel.saturating_add(1);
        let local_id = self.take_local_id(channel);
        if incoming.is_none() {
            self.meeting.entry(key.clone()).or_default().outgoing.push_back(local_id);
            self.opening.insert(local_id, key.clone());
        }
        self.channels.insert(channel, Channel { key, local_id, remote_id: None });
        self.write(0, &[&frame::open(local_id, protocol, id, handshake)]);
        if let Some(remote_id) = incoming {
            self.pending_opens = self.pending_opens.saturating_sub(1);
            self.meet(channel, remote_id);
        }
        Some(channel)
    }

    fn take_local_id(&mut self, channel: ChannelId) -> u64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.local.push(None);
            u64::try_from(self.local.len()).unwrap_or(u64::MAX)
        });
        if let Some(entry) = at(&mut self.local, slot) {
            *entry = Some(channel);
        }
        slot
    }

    /// Joins our channel with the other side's pending open, and hands out what waited.
    fn meet(&mut self, channel: ChannelId, remote_id: u64) {
        let Some(slot) = at(&mut self.remote, remote_id) else { return };
        let Some(Remote::Pending { handshake, messages, .. }) = slot.replace(Remote::Open(channel)) else { return };
        if let Some(entry) = self.channels.get_mut(&channel) {
            entry.remote_id = Some(remote_id);
        }
        self.events.push_back(MuxEvent::Opened { channel, handshake });
        for (kind, payload) in messages {
            self.buffered = self.buffered.saturating_sub(cost(&payload));
            self.events.push_back(MuxEvent::Message { channel, kind, payload });
        }
    }

    /// Sends message number `kind` on a channel, opened by the other side or not yet. Ignored once it is closed.
    pub fn send(&mut self, channel: ChannelId, kind: u64, payload: &[u8]) {
        let Some(local_id) = self.channels.get(&channel).map(|channel| channel.local_id) else { return };
        let mut number = Writer::new();
        number.uint(kind);
        self.write(local_id, &[number.as_slice(), payload]);
    }

    /// Holds messages back, to travel as one frame.
    pub fn cork(&mut self) {
        self.corks = self.corks.saturating_add(1);
    }

    /// Sends what was held back, when it matches the first cork; a batch even of one message, as the reference does.
    pub fn uncork(&mut self) {
        self.corks = self.corks.saturating_sub(1);
        if self.corks == 0 {
            self.flush();
        }
    }

    /// As [`Mux::uncork`], for messages that happened to be written together: one alone travels as if there had been no
    /// cork.
    pub fn uncork_gathered(&mut self) {
        self.corks = self.corks.saturating_sub(1);
        if self.corks == 0 {
            let frame = core::mem::take(&mut self.batch).finish_short();
            self.events.extend(frame.map(MuxEvent::Transmit));
        }
    }

    fn flush(&mut self) {
        if let Some(frame) = core::mem::take(&mut self.batch).finish() {
            self.events.push_back(MuxEvent::Transmit(frame));
        }
    }

    fn write(&mut self, channel: u64, message: &[&[u8]]) {
        if self.corks == 0 {
            self.events.push_back(MuxEvent::Transmit(Bytes::from(frame::single(channel, message))));
            return;
        }
        if self.batch.len() > 0 && self.batch.len().saturating_add(frame::length(message)) > MAX_BATCH {
            self.flush();
        }
        self.batch.push(channel, message);
    }

    /// Closes a channel of ours.
    pub fn close(&mut self, channel: ChannelId) {
        let Some(local_id) = self.forget(channel) else { return };
        self.write(0, &[&frame::control(CLOSE, local_id)]);
    }

    /// Rejects every open of this protocol and id that nobody here answered.
    pub fn reject(&mut self, protocol: &str, id: Option<&[u8]>) {
        let key = self.key(protocol, id);
        let incoming = self.meeting.get_mut(&key).map(|meeting| core::mem::take(&mut meeting.incoming));
        for remote_id in incoming.unwrap_or_default() {
            self.reject_remote(remote_id);
        }
        self.tidy(&key);
    }

    fn reject_remote(&mut self, remote_id: u64) {
        self.pending_opens = self.pending_opens.saturating_sub(1);
        if let Some(Remote::Pending { messages, .. }) = at(&mut self.remote, remote_id).and_then(Option::take) {
            let freed = messages.iter().map(|(_, payload)| cost(payload)).fold(0, usize::saturating_add);
            self.buffered = self.buffered.saturating_sub(freed);
        }
        self.write(0, &[&frame::control(REJECT, remote_id)]);
    }

    /// Takes one message of the stream.
    ///
    /// # Errors
    /// [`MuxError`]: the stream must end.
    pub fn handle_message(&mut self, bytes: &Bytes) -> Result<(), MuxError> {
        // Empty messages keep a stream alive.
        if bytes.is_empty() {
            return Ok(());
        }
        let mut reader = Reader::new(bytes);
        let channel = reader.uint("frame: channel")?;
        self.handle(channel, &mut reader, bytes, true)
    }

    fn handle(
        &mut self,
        channel: u64,
        reader: &mut Reader<'_>,
        bytes: &Bytes,
        batch_allowed: bool,
    ) -> Result<(), MuxError> {
        let kind = reader.uint("frame: message number")?;
        if channel > 0 {
            return self.handle_channel(channel, kind, bytes.slice_ref(reader.rest()));
        }
        match kind {
            frame::BATCH if batch_allowed => self.handle_batch(reader, bytes),
            OPEN => self.handle_open(Open::decode(reader, bytes)?),
            REJECT => self.handle_reject(reader.uint("reject: channel")?),
            CLOSE => {
                self.handle_close(reader.uint("close: channel")?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_batch(&mut self, reader: &mut Reader<'_>, bytes: &Bytes) -> Result<(), MuxError> {
        let mut channel = reader.uint("batch: channel")?;
        self.cork();
        while !reader.is_empty() {
            let length = reader.uint("batch: length")?;
            if length == 0 {
                channel = reader.uint("batch: channel")?;
                continue;
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(reader.remaining());
            let message = bytes.slice_ref(reader.raw(length, "batch: message")?);
            self.handle(channel, &mut Reader::new(&message), &message, false)?;
        }
        self.uncork();
        Ok(())
    }

    fn handle_channel(&mut self, channel: u64, kind: u64, payload: Bytes) -> Result<(), MuxError> {
        match at(&mut self.remote, channel) {
            // Closed here: messages may still be under way.
            None | Some(None) => {}
            Some(Some(Remote::Open(channel))) => {
                let channel = *channel;
                self.events.push_back(MuxEvent::Message { channel, kind, payload });
            }
            Some(Some(Remote::Pending { messages, .. })) => {
                self.buffered = self.buffered.saturating_add(cost(&payload));
                messages.push((kind, payload));
                if self.buffered > self.limits.buffered {
                    return Err(MuxError::TooMuchBuffered);
                }
            }
        }
        Ok(())
    }

    fn handle_open(&mut self, open: Open) -> Result<(), MuxError> {
        let remote_id = open.remote_id;
        if remote_id == 0 {
            self.write(0, &[&frame::control(REJECT, 0)]);
            return Ok(());
        }
        let known = u64::try_from(self.remote.len()).unwrap_or(u64::MAX);
        if remote_id == known.saturating_add(1) && self.remote.len() < self.limits.channels {
            self.remote.push(None);
        }
        let key = self.key(&open.protocol, open.id.as_deref());
        match at(&mut self.remote, remote_id) {
            Some(slot @ None) => {
                let handshake = Bytes::copy_from_slice(&open.handshake);
                *slot = Some(Remote::Pending { key: key.clone(), handshake, messages: Vec::new() });
            }
            _ => return Err(MuxError::InvalidOpen { channel: remote_id }),
        }
        let meeting = self.meeting.entry(key).or_default();
        if let Some(local_id) = meeting.outgoing.pop_front() {
            self.opening.remove(&local_id);
            match at(&mut self.local, local_id).copied().flatten() {
                Some(channel) => self.meet(channel, remote_id),
                None => {
                    // We closed it meanwhile: our number is free, and the other side will see our close.
                    self.free.push(local_id);
                    if let Some(slot) = at(&mut self.remote, remote_id) {
                        *slot = None;
                    }
                }
            }
            return Ok(());
        }
        meeting.incoming.push_back(remote_id);
        self.pending_opens = self.pending_opens.saturating_add(1);
        if self.pending_opens > self.limits.pending_opens {
            return Err(MuxError::TooManyOpens);
        }
        let protocol = self.canonical(&open.protocol).to_string();
        self.events.push_back(MuxEvent::Pair { protocol, id: open.id });
        Ok(())
    }

    fn handle_reject(&mut self, local_id: u64) -> Result<(), MuxError> {
        let Some(key) = self.opening.remove(&local_id) else {
            return Err(MuxError::InvalidReject { channel: local_id });
        };
        if let Some(meeting) = self.meeting.get_mut(&key) {
            meeting.outgoing.retain(|id| *id != local_id);
        }
        let channel = at(&mut self.local, local_id).copied().flatten();
        if let Some(channel) = channel {
            self.forget(channel);
            self.events.push_back(MuxEvent::Closed { channel });
        }
        self.free.push(local_id);
        self.tidy(&key);
        Ok(())
    }

    fn handle_close(&mut self, remote_id: u64) {
        let Some(slot) = at(&mut self.remote, remote_id) else { return };
        match slot {
            None => {}
            Some(Remote::Open(channel)) => {
                let channel = *channel;
                self.forget(channel);
                self.events.push_back(MuxEvent::Closed { channel });
            }
            // Closed before we answered: the reject frees its number.
            Some(Remote::Pending { key, .. }) => {
                let key = key.clone();
                if let Some(meeting) = self.meeting.get_mut(&key) {
                    meeting.incoming.retain(|id| *id != remote_id);
                }
                self.reject_remote(remote_id);
                self.tidy(&key);
            }
        }
    }

    /// Drops a channel of ours; its number is free at once if the other side opened it too.
    fn forget(&mut self, channel: ChannelId) -> Option<u64> {
        let closed = self.channels.remove(&channel)?;
        if let Some(slot) = at(&mut self.local, closed.local_id) {
            *slot = None;
        }
        if let Some(remote_id) = closed.remote_id {
            if let Some(slot) = at(&mut self.remote, remote_id) {
                *slot = None;
            }
            self.free.push(closed.local_id);
        }
        if let Some(meeting) = self.meeting.get_mut(&closed.key) {
            meeting.open = meeting.open.saturating_sub(1);
        }
        self.tidy(&closed.key);
        Some(closed.local_id)
    }

    fn tidy(&mut self, key: &Key) {
        let idle = |meeting: &Meeting| meeting.open == 0 && meeting.outgoing.is_empty() && meeting.incoming.is_empty();
        if self.meeting.get(key).is_some_and(idle) {
            self.meeting.remove(key);
        }
    }

    /// The next thing to do or know.
    pub fn poll_event(&mut self) -> Option<MuxEvent> {
        self.events.pop_front()
    }

    fn canonical<'a>(&'a self, protocol: &'a str) -> &'a str {
        self.aliases.iter().find(|(alias, _)| alias == protocol).map_or(protocol, |(_, name)| name)
    }

    fn key(&self, protocol: &str, id: Option<&[u8]>) -> Key {
        (self.canonical(protocol).to_string(), id.filter(|id| !id.is_empty()).map(<[u8]>::to_vec))
    }
}

/// The slot of a 1-based number.
fn at<T>(slots: &mut [T], number: u64) -> Option<&mut T> {
    slots.get_mut(usize::try_from(number.checked_sub(1)?).ok()?)
}

/// What a waiting message costs.
fn cost(payload: &Bytes) -> usize {
    payload.len().saturating_add(512)
}

/// A batch is sent before it outgrows this (bytes). The reference allows 8 MiB; a smaller one does not keep its first
/// message waiting for its last, and the other side opens one while the next is on its way.
const MAX_BATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mux() -> Mux {
        Mux::new(MuxLimits::default(), &[])
    }

    /// Carries frames both ways until nothing moves; opens answered or rejected by `answer`.
    fn run(a: &mut Mux, b: &mut Mux, answer: &dyn Fn(&str) -> bool) -> [Vec<MuxEvent>; 2] {
        let mut told = [Vec::new(), Vec::new()];
        loop {
            let [told_a, told_b] = &mut told;
            if !(pump(a, b, answer, told_a) | pump(b, a, answer, told_b)) {
                return told;
            }
        }
    }

    fn pump(from: &mut Mux, to: &mut Mux, answer: &dyn Fn(&str) -> bool, told: &mut Vec<MuxEvent>) -> bool {
        let mut moved = false;
        while let Some(event) = from.poll_event() {
            moved = true;
            match event {
                MuxEvent::Transmit(frame) => to.handle_message(&frame).unwrap(),
                MuxEvent::Pair { protocol, id } if answer(&protocol) => {
                    from.open(&protocol, id.as_deref(), b"");
                }
                MuxEvent::Pair { protocol, id } => from.reject(&protocol, id.as_deref()),
                other => told.push(other),
            }
        }
        moved
    }

    #[test]
    fn an_open_out_of_turn_and_a_stray_reject_end_the_stream() {
        let mut a = mux();
        let out_of_turn = frame::single(0, &[&frame::open(2, "p", None, b"")]);
        assert_eq!(a.handle_message(&out_of_turn.into()), Err(MuxError::InvalidOpen { channel: 2 }));
        let stray = frame::single(0, &[&frame::control(REJECT, 9)]);
        assert_eq!(a.handle_message(&stray.into()), Err(MuxError::InvalidReject { channel: 9 }));
    }

    #[test]
    fn floods_are_bounded() {
        let mut a = Mux::new(MuxLimits { pending_opens: 3, buffered: 2000, ..MuxLimits::default() }, &[]);
        a.handle_message(&frame::single(0, &[&frame::open(1, "p", None, b"")]).into()).unwrap();
        let message = frame::single(1, &[&[1], &[0; 600]]);
        a.handle_message(&message.clone().into()).unwrap();
        assert_eq!(a.handle_message(&message.into()), Err(MuxError::TooMuchBuffered));
        let result = (2..9)
            .try_for_each(|id| a.handle_message(&frame::single(0, &[&frame::open(id, "q", Some(&[1]), b"")]).into()));
        assert_eq!(result, Err(MuxError::TooManyOpens));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn two_sides_agree_whatever_the_order(steps in prop::collection::vec((0_u8..6, 0_u8..4, any::<bool>()), 1..40)) {
            let (mut a, mut b) = (mux(), mux());
            let mut open: [BTreeMap<u8, ChannelId>; 2] = [BTreeMap::new(), BTreeMap::new()];
            for (step, name, first) in steps {
                let (side, index) = if first { (&mut a, 0) } else { (&mut b, 1) };
                let id = [name + 1];
                match step {
                    0 | 1 => if let Some(channel) = side.open("p", Some(&id), b"hi") {
                        side.send(channel, 1, &[name]);
                        open[index].insert(name, channel);
                    },
                    2 => if let Some(channel) = open[index].remove(&name) { side.close(channel); },
                    3 => side.cork(),
                    4 => side.uncork(),
                    _ => { run(&mut a, &mut b, &|_| false); }
                }
            }
            for side in [&mut a, &mut b] {
                while side.corks > 0 { side.uncork(); }
            }
            run(&mut a, &mut b, &|_| false);
            // Whatever happened, a fresh channel can be opened from both sides and carries messages.
            let ours = a.open("fresh", None, b"x").unwrap();
            a.send(ours, 3, b"payload");
            let [_, told] = run(&mut a, &mut b, &|_| true);
            let heard = told.iter().any(|event| matches!(event, MuxEvent::Message { kind: 3, .. }));
            prop_assert!(heard);
            prop_assert_eq!(a.buffered + b.buffered, 0);
        }

        #[test]
        fn random_bytes_never_panic(frames: Vec<Vec<u8>>) {
            let mut a = mux();
            for frame in frames {
                let _ = a.handle_message(&frame.into());
            }
        }
    }
}
