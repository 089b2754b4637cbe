//! One side of a recorded Protomux conversation: its own frames say what it did, and must come out of our mux byte by
//! byte; the other side's frames go in, and what our mux tells is kept.

use bytes::Bytes;
use corestore_core::encoding::Reader;
use corestore_core::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use std::collections::BTreeMap;

/// What our mux told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Opened { handshake: Bytes },
    Message { kind: u64, payload: Bytes },
    Closed,
    Broken,
}

/// One message in a frame.
pub(crate) struct Item {
    pub(crate) channel: u64,
    pub(crate) kind: u64,
    pub(crate) payload: Bytes,
}

/// The replayed side.
pub(crate) struct MuxReplay {
    mux: Mux,
    /// Our channels by number.
    channels: BTreeMap<u64, ChannelId>,
    /// What the other side opened, by its number.
    theirs: BTreeMap<u64, (String, Option<Vec<u8>>)>,
    told: Vec<Told>,
    sent: Vec<Bytes>,
}

/// The messages in a frame, and whether it is a batch.
pub(crate) fn items(frame: &Bytes) -> (bool, Vec<Item>) {
    let mut reader = Reader::new(frame);
    let channel = reader.uint("channel").expect("a channel");
    if frame.get(..2) != Some(&[0, 0]) {
        return (false, Vec::from([item(channel, &mut reader, frame)]));
    }
    reader.uint("batch").expect("a number");
    let mut channel = reader.uint("channel").expect("a channel");
    let mut items = Vec::new();
    while !reader.is_empty() {
        match reader.count(1, "length").expect("a length") {
            0 => channel = reader.uint("channel").expect("a channel"),
            length => {
                let message = frame.slice_ref(reader.raw(length, "message").expect("a message"));
                items.push(item(channel, &mut Reader::new(&message), &message));
            }
        }
    }
    (true, items)
}

fn item(channel: u64, reader: &mut Reader<'_>, bytes: &Bytes) -> Item {
    let kind = reader.uint("kind").expect("a number");
    Item { channel, kind, payload: bytes.slice_ref(reader.rest()) }
}

/// The number and the rest of a control message.
pub(crate) fn control(payload: &Bytes) -> (u64, Bytes) {
    let mut reader = Reader::new(payload);
    let channel = reader.uint("channel").expect("a channel");
    (channel, payload.slice_ref(reader.rest()))
}

/// What an open says behind its number: protocol, id, handshake.
pub(crate) fn open(rest: &Bytes) -> (String, Option<Vec<u8>>, Bytes) {
    let mut reader = Reader::new(rest);
    let protocol = reader.string("protocol").expect("a protocol");
    let id = reader.optional_buffer("id").expect("an id").map(<[u8]>::to_vec);
    (protocol, id, rest.slice_ref(reader.rest()))
}

impl MuxReplay {
    pub(crate) fn new(aliases: &[(&str, &str)]) -> Self {
        Self {
            mux: Mux::new(MuxLimits::default(), aliases),
            channels: BTreeMap::new(),
            theirs: BTreeMap::new(),
            told: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Does what a frame of our own shows that we did; gives the frames our mux sends for it.
    pub(crate) fn own(&mut self, frame: &Bytes) -> Vec<Bytes> {
        let (batch, items) = items(frame);
        if batch {
            self.mux.cork();
        }
        for item in items {
            if item.channel == 0 {
                self.own_control(&item);
            } else if let Some(channel) = self.channels.get(&item.channel) {
                self.mux.send(*channel, item.kind, &item.payload);
            }
        }
        if batch {
            self.mux.uncork();
        }
        self.drain();
        std::mem::take(&mut self.sent)
    }

    fn own_control(&mut self, item: &Item) {
        let (number, rest) = control(&item.payload);
        match item.kind {
            OPEN => {
                let (protocol, id, handshake) = open(&rest);
                if let Some(channel) = self.mux.open(&protocol, id.as_deref(), &handshake) {
                    self.channels.insert(number, channel);
                }
            }
            REJECT => {
                if let Some((protocol, id)) = self.theirs.get(&number) {
                    self.mux.reject(protocol, id.as_deref());
                }
            }
            CLOSE => {
                if let Some(channel) = self.channels.remove(&number) {
                    self.mux.close(channel);
                }
            }
            _ => {}
        }
    }

    /// Takes a frame of the other side.
    pub(crate) fn take(&mut self, frame: &Bytes) {
        for item in items(frame).1.iter().filter(|item| item.channel == 0 && item.kind == OPEN) {
            let (number, rest) = control(&item.payload);
            let (protocol, id, _) = open(&rest);
            self.theirs.insert(number, (protocol, id));
        }
        if self.mux.handle_message(frame).is_err() {
            self.told.push(Told::Broken);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Transmit(frame) => self.sent.push(frame),
                MuxEvent::Opened { handshake, .. } => self.told.push(Told::Opened { handshake }),
                MuxEvent::Message { kind, payload, .. } => self.told.push(Told::Message { kind, payload }),
                MuxEvent::Closed { .. } => self.told.push(Told::Closed),
                MuxEvent::Pair { .. } => {}
            }
        }
    }

    /// What our mux told since the last call.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }
}

pub(crate) const OPEN: u64 = 1;
pub(crate) const REJECT: u64 = 2;
pub(crate) const CLOSE: u64 = 3;
