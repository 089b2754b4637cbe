//! What every connection has in common, however its bytes travel.

use crate::bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A connection as the store's handle holds it.
pub(crate) trait Transport {
    /// Ends it for good.
    fn hang_up(&self);
    /// Dials now, if it waits to.
    fn dial_now(&self);
    /// Bytes in and out.
    fn traffic(&self) -> &Traffic;
}

/// Connections by their numbers.
pub(crate) type Transports = Rc<RefCell<BTreeMap<u32, Rc<dyn Transport>>>>;

/// Bytes of a connection over all of its diallings.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    bytes_in: Cell<f64>,
    bytes_out: Cell<f64>,
}

impl Traffic {
    pub(crate) fn came(&self, size: usize) {
        self.bytes_in.set(self.bytes_in.get() + bytes::length(size));
    }

    pub(crate) fn went(&self, size: usize) {
        self.bytes_out.set(self.bytes_out.get() + bytes::length(size));
    }

    /// In and out.
    pub(crate) fn figures(&self) -> [f64; 2] {
        [self.bytes_in.get(), self.bytes_out.get()]
    }
}
