//! Errors as JavaScript gets them: a `code`, as Hypercore has it where it has one, and a sentence that says what to do.

use corestore_core::corestore::CommandError;
use corestore_core::storage::StorageError;
use js_sys::{Array, Function, Reflect};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;

/// Why a store cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Another tab or worker has it; its name.
    Locked(String),
    /// A newer version of the library wrote it; its name.
    Newer(String),
    /// There is no database to be had here.
    Unavailable(String),
    /// No room for a new store.
    Full,
    /// The database does not open, or what is in it cannot be read.
    Broken(String),
}

thread_local! {
    static ERROR_CLASS: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Names the class errors are made of: called with a message and a code.
#[wasm_bindgen(js_name = setErrorClass)]
pub fn set_error_class(class: Function) {
    ERROR_CLASS.with_borrow_mut(|slot| *slot = Some(class));
}

/// An error of that class.
pub(crate) fn error(code: &str, message: &str) -> JsValue {
    let made = ERROR_CLASS.with_borrow(|class| {
        class.as_ref().and_then(|class| Reflect::construct(class, &Array::of2(&message.into(), &code.into())).ok())
    });
    made.unwrap_or_else(|| {
        let plain = js_sys::Error::new(message);
        // A fresh error takes every key.
        let _ = Reflect::set(&plain, &"code".into(), &code.into());
        plain.into()
    })
}

pub(crate) fn bad_argument(what: &str) -> JsValue {
    error("BAD_ARGUMENT", what)
}

pub(crate) fn closed() -> JsValue {
    error("SESSION_CLOSED", "The session or its store is closed: get the core again.")
}

pub(crate) fn of_opening(cause: &OpenError) -> JsValue {
    match cause {
        OpenError::Locked(name) => error(
            "STORAGE_LOCKED",
            &format!(
                "The store \"{name}\" is open in another tab or worker: close it there, or open one of another name."
            ),
        ),
        OpenError::Newer(name) => error(
            "STORAGE_NEWER",
            &format!("The store \"{name}\" was written by a newer version of this library: load that version."),
        ),
        OpenError::Unavailable(why) => error(
            "STORAGE_UNAVAILABLE",
            &format!(
                "This browser window keeps no data for this page: use {{ memory: true }}, or leave private mode. {why}"
            ),
        ),
        OpenError::Full => of_storage(&StorageError::Full),
        OpenError::Broken(why) => error("STORAGE_BROKEN", &format!("The store cannot be opened: {why}.")),
    }
}

pub(crate) fn of_storage(cause: &StorageError) -> JsValue {
    match cause {
        StorageError::Full => error(
            "STORAGE_FULL",
            "The browser gives this site no more space, and nothing of this change was written: free some (clear blocks, \
             or ask for persistent storage) and try again; if it stays full, open the store again.",
        ),
        other => error("STORAGE_BROKEN", &format!("The store cannot be used any more, open it again: {other}.")),
    }
}

pub(crate) fn of_command(cause: &CommandError) -> JsValue {
    match cause {
        CommandError::SessionClosed => closed(),
        CommandError::Cancelled => error("REQUEST_CANCELLED", "The request was cancelled."),
        CommandError::Timeout => error(
            "REQUEST_TIMEOUT",
            "No peer answered in time: check the connection, or give the request a longer timeout.",
        ),
        CommandError::NotFound => {
            error("STORAGE_EMPTY", "No such core is stored here: get it by its key to create it.")
        }
        CommandError::NotWritable => error(
            "SESSION_NOT_WRITABLE",
            "This core cannot be written here: its signing key is elsewhere, or the session is read-only.",
        ),
        CommandError::BlockTooLarge { position, size } => bad_argument(&format!(
            "Block {position} of the batch has {size} bytes, and a block may have 15 MiB: split it."
        )),
        CommandError::OutOfBounds => {
            error("BLOCK_NOT_AVAILABLE", "The index lies outside the core, or the range ends before it starts.")
        }
        CommandError::SnapshotNotAvailable => error(
            "SNAPSHOT_NOT_AVAILABLE",
            "The block lies outside this snapshot, or was truncated away: take a new snapshot.",
        ),
        CommandError::Conflict => error(
            "CONFLICT",
            "Two histories are signed for this key, so the core is frozen: ask its author which one holds.",
        ),
        CommandError::WrongEncryptionKey => error(
            "WRONG_ENCRYPTION_KEY",
            "The encryption key does not open this core's blocks: get the core with the right one.",
        ),
        CommandError::Damaged(what) => error(
            "STORAGE_DAMAGED",
            &format!("Something stored cannot be read: {what}. Clear it and download it again."),
        ),
        CommandError::BadArgument(what) => bad_argument(what),
        CommandError::Storage(cause) => of_storage(cause),
        other => error("STORAGE_BROKEN", &format!("The request failed: {other:?}.")),
    }
}
