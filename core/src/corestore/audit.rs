//! Audits: everything stored of a core is read again and checked, a bounded piece at a time.

use super::corestore::Corestore;
use super::io::{CommandError, Outcome, RequestId, SessionId};
use super::pending::Pending;
use super::waiting::{Waiting, WaitingFor};
use crate::log::{AuditStep, Auditor};
use crate::storage::{ReadReply, StorageOp, rows};
use alloc::boxed::Box;

/// An audit under way.
#[derive(Debug)]
pub(super) struct Auditing {
    auditor: Auditor,
    /// How often it began anew because the core moved to another fork.
    restarts: u32,
}

impl Corestore {
    /// Reads everything stored of a session's core again and checks it: blocks against their hashes, nodes against
    /// the nodes above up to the roots, and the signature. Nothing is changed or repaired. Answered by
    /// [`Outcome::Audited`].
    pub fn audit(&mut self, session: SessionId) -> RequestId {
        let request = RequestId(self.next_id());
        let core = self.session_core(session).and_then(|id| {
            let core = self.cores.get(&id).ok_or(CommandError::SessionClosed)?;
            Ok((id, self.auditor_of(&core.log)))
        });
        match core {
            Err(error) => self.resolve(request, Err(error)),
            Ok((core, auditor)) => {
                let what = WaitingFor::Audit(Box::new(Auditing { auditor, restarts: 0 }));
                self.start_waiting(request, Waiting { session, core, what });
                self.advance_audit(request);
            }
        }
        self.settle();
        request
    }

    fn auditor_of(&self, log: &crate::log::Hypercore) -> Auditor {
        Auditor::new(log, self.config.audit_step, AUDIT_BYTES)
    }

    fn advance_audit(&mut self, request: RequestId) {
        let Some(waiting) = self.waiting.get_mut(&request) else { return };
        let WaitingFor::Audit(auditing) = &mut waiting.what else { return };
        let Some(core) = self.cores.get(&waiting.core) else { return };
        if let Some(step) = auditing.auditor.next_step(&core.log) {
            let read = rows::read_core(core.slot, &step.nodes, &step.blocks);
            self.ask_store(StorageOp::Read(read), Pending::Audit { request, step });
            return;
        }
        let id = waiting.core;
        let Some(WaitingFor::Audit(auditing)) = self.stop_waiting(request).map(|waiting| waiting.what) else { return };
        let Some(core) = self.cores.get(&id) else { return };
        let audit = auditing.auditor.finish(&core.log);
        self.resolve(request, Ok(Outcome::Audited(audit)));
    }

    /// Some rows of an audit were read.
    pub(super) fn audit_read(&mut self, request: RequestId, step: &AuditStep, reply: ReadReply) {
        let nodes = rows::loaded_nodes(&reply);
        let blocks = rows::loaded_blocks(&step.blocks, reply);
        let Some(waiting) = self.waiting.get_mut(&request) else { return };
        let WaitingFor::Audit(auditing) = &mut waiting.what else { return };
        let Some(core) = self.cores.get(&waiting.core) else { return };
        if auditing.auditor.is_current(&core.log) {
            auditing.auditor.check(&core.log, step, &nodes, &blocks);
        } else if auditing.restarts < MAX_RESTARTS {
            auditing.restarts = auditing.restarts.saturating_add(1);
            auditing.auditor = Auditor::new(&core.log, self.config.audit_step, AUDIT_BYTES);
        } else {
            return self.give_up(request, CommandError::SnapshotNotAvailable);
        }
        self.advance_audit(request);
    }
}

/// Bytes of blocks read at once, about.
const AUDIT_BYTES: u64 = 8 << 20;
/// Forks an audit follows before it gives up.
const MAX_RESTARTS: u32 = 16;
