//! Events on their way to JavaScript: one function takes them all, with cores and connections as numbers.

use crate::bytes::{number, to_js};
use corestore_core::corestore::{CloseReason, ConnectionId, Event};
use corestore_core::crypto::DiscoveryKey;
use js_sys::{Array, Function};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use wasm_bindgen::prelude::*;

/// Who hears of events, and how cores and connections are numbered for them.
#[derive(Debug)]
pub(crate) struct Events {
    listener: Function,
    cores: RefCell<BTreeMap<DiscoveryKey, u32>>,
    connections: RefCell<BTreeMap<ConnectionId, u32>>,
    last_connection: Cell<u32>,
    listened: Listened,
}

/// Which of the events that come by the block anyone listens to; the others stay on this side of the border.
#[derive(Debug, Default)]
struct Listened {
    downloads: Cell<bool>,
    uploads: Cell<bool>,
}

impl Events {
    /// `listener` is called with the event's name, the core's number, the connection's number (0: none) and what else
    /// there is to say.
    pub(crate) fn new(listener: Function) -> Self {
        Self {
            listener,
            cores: RefCell::default(),
            connections: RefCell::default(),
            last_connection: Cell::new(0),
            listened: Listened::default(),
        }
    }

    /// The number of a core.
    pub(crate) fn core(&self, discovery_key: DiscoveryKey) -> u32 {
        let mut cores = self.cores.borrow_mut();
        let next = u32::try_from(cores.len()).unwrap_or(u32::MAX).saturating_add(1);
        *cores.entry(discovery_key).or_insert(next)
    }

    /// Somebody listens to an event that comes by the block, or nobody does any more.
    pub(crate) fn set_listened(&self, event: &str, listened: bool) {
        match event {
            "download" => self.listened.downloads.set(listened),
            "upload" => self.listened.uploads.set(listened),
            _ => {}
        }
    }

    /// A number for a connection that outlives its diallings.
    pub(crate) fn new_connection(&self) -> u32 {
        let next = self.last_connection.get().saturating_add(1);
        self.last_connection.set(next);
        next
    }

    /// This dialling belongs to that connection.
    pub(crate) fn dialled(&self, connection: ConnectionId, of: u32) {
        self.connections.borrow_mut().insert(connection, of);
    }

    /// A connection is being dialled.
    pub(crate) fn connecting(&self, connection: u32) {
        self.call("connecting", 0, connection, &[]);
    }

    /// A connection ended and is dialled again in `delay` milliseconds.
    pub(crate) fn reconnecting(&self, connection: u32, reason: &Ending, delay: f64, attempt: u32) {
        let (code, message) = (reason.code.into(), reason.message.as_str().into());
        self.call("reconnecting", 0, connection, &[code, message, delay.into(), attempt.into()]);
    }

    /// A connection is over for good.
    pub(crate) fn closed(&self, connection: u32, reason: &Ending) {
        self.call("connection-close", 0, connection, &[reason.code.into(), reason.message.as_str().into()]);
    }

    /// Tells something of a swarm, or of a connection it brought.
    pub(crate) fn of_swarm(&self, name: &str, swarm: u32, connection: u32, more: &[JsValue]) {
        self.call(name, 0, connection, &[&[swarm.into()], more].concat());
    }

    /// Tells one event.
    pub(crate) fn tell(&self, event: Event) {
        match event {
            Event::Appended { core, .. } => self.of_core("append", core, None, &[]),
            Event::Truncated { core, length, fork } => {
                self.of_core("truncate", core, None, &[number(length).into(), number(fork).into()]);
            }
            Event::Downloaded { core, index, byte_length, connection } if self.listened.downloads.get() => {
                self.of_core("download", core, Some(connection), &[number(index).into(), byte_length.into()]);
            }
            Event::Uploaded { core, index, byte_length, connection } if self.listened.uploads.get() => {
                self.of_core("upload", core, Some(connection), &[number(index).into(), byte_length.into()]);
            }
            Event::Cleared { core, range } => {
                self.of_core("clear", core, None, &[number(range.start).into(), number(range.end).into()]);
            }
            Event::Purged { core } => self.of_core("purge", core, None, &[]),
            Event::PeerAdded { core, connection, public_key } => {
                self.of_core("peer-add", core, Some(connection), &[to_js(public_key.as_ref()).into()]);
            }
            Event::PeerRemoved { core, connection } => self.of_core("peer-remove", core, Some(connection), &[]),
            Event::VerificationFailed { core, connection, reason } => {
                self.of_core("verification-error", core, Some(connection), &[reason.into()]);
            }
            Event::Conflicted { core, length, fork } => {
                self.of_core("conflict", core, None, &[number(length).into(), number(fork).into()]);
            }
            Event::RemoteContiguousLength { core, length } => {
                self.of_core("remote-contiguous-length", core, None, &[number(length).into()]);
            }
            Event::Extension { core, connection, name, payload } => {
                self.of_core("extension", core, Some(connection), &[name.into(), to_js(&payload).into()]);
            }
            Event::Connected { connection, public_key } => {
                let of = self.connection(connection);
                self.call("connection-open", 0, of, &[to_js(public_key.as_ref()).into()]);
            }
            Event::Disconnected { connection, .. } => {
                self.connections.borrow_mut().remove(&connection);
            }
            Event::Downloaded { .. }
            | Event::Uploaded { .. }
            | Event::UnknownDiscoveryKey { .. }
            | Event::Resolved { .. } => {}
        }
    }

    fn of_core(&self, name: &str, core: DiscoveryKey, connection: Option<ConnectionId>, more: &[JsValue]) {
        let core = self.cores.borrow().get(&core).copied();
        // Nobody here opened it: nobody listens.
        if let Some(core) = core {
            self.call(name, core, connection.map_or(0, |connection| self.connection(connection)), more);
        }
    }

    fn connection(&self, connection: ConnectionId) -> u32 {
        self.connections.borrow().get(&connection).copied().unwrap_or(0)
    }

    fn call(&self, name: &str, core: u32, connection: u32, more: &[JsValue]) {
        let arguments = Array::of3(&wasm_bindgen::intern(name).into(), &core.into(), &connection.into());
        more.iter().for_each(|argument| {
            arguments.push(argument);
        });
        // The listener reports what its own listeners throw.
        let _ = self.listener.apply(&JsValue::UNDEFINED, &arguments);
    }
}

/// Why a dialling ended, as JavaScript gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Ending {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<&CloseReason> for Ending {
    fn from(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Local => Self::new("local", "We closed the connection."),
            CloseReason::Remote => Self::new("remote", "The peer, or the network, ended the connection."),
            CloseReason::Violation(fault) => Self::new("violation", format!("The peer broke the protocol: {fault}.")),
            CloseReason::Timeout => Self::new("timeout", "The peer was silent for too long."),
            CloseReason::Duplicate => Self::new("duplicate", "This peer is ourselves, or is connected already."),
            other => Self::new("remote", format!("The connection ended: {other:?}.")),
        }
    }
}
