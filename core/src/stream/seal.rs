//! Sealed messages: libsodium's secretstream over XChaCha20-Poly1305, tag "message", no associated data
//! (`sodium-secretstream`). Composed here because no crate's AEAD pads its MAC as libsodium does.

use alloc::vec::Vec;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20::{ChaCha20, R20, hchacha};
use core::ops::Range;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use poly1305::{Block, Poly1305};

/// Bytes a sealed message is longer than its plaintext.
pub const SEAL_OVERHEAD: usize = 17;
/// Bytes of the header that starts a direction.
pub const HEADER_BYTES: usize = 24;

/// One direction's state.
pub struct Seal {
    key: [u8; 32],
    counter: u32,
    inner_nonce: [u8; 8],
}

impl Seal {
    /// The direction with this key and header.
    pub fn new(key: &[u8; 32], header: &[u8; HEADER_BYTES]) -> Self {
        let mut input = [0; 16];
        let mut inner_nonce = [0; 8];
        input.iter_mut().zip(header).for_each(|(to, from)| *to = *from);
        inner_nonce.iter_mut().zip(header.iter().skip(16)).for_each(|(to, from)| *to = *from);
        Self { key: hchacha::<R20>(&(*key).into(), &input.into()).into(), counter: 1, inner_nonce }
    }

    /// Appends the sealed form of `plaintext` to `out`.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let (mut cipher, mac_key, tag_block) = self.begin(TAG_MESSAGE);
        let start = out.len().saturating_add(1);
        out.push(tag_block[0]);
        out.extend_from_slice(plaintext);
        let body = out.get_mut(start..).unwrap_or_default();
        cipher.apply_keystream(body);
        let mac = authenticate(&mac_key, &tag_block, body);
        out.extend_from_slice(&mac);
        self.advance(&mac);
    }

    /// The plaintext of a sealed message; `None` when it was tampered with, or is no plain message.
    pub fn open(&mut self, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = sealed.to_vec();
        let plaintext = self.open_in_place(&mut sealed)?;
        sealed.get(plaintext).map(<[u8]>::to_vec)
    }

    /// Decrypts a sealed message where it lies and says where its plaintext is; `None` when it was tampered with, or
    /// is no plain message.
    pub fn open_in_place(&mut self, sealed: &mut [u8]) -> Option<Range<usize>> {
        let (sealed, mac) = sealed.split_last_chunk_mut::<16>()?;
        let (first, body) = sealed.split_first_mut()?;
        let (mut cipher, mac_key, mut tag_block) = self.begin(*first);
        let tag = tag_block[0];
        tag_block[0] = *first;
        let expected = authenticate(&mac_key, &tag_block, body);
        let differing = expected.iter().zip(&*mac).fold(0, |sum, (a, b)| sum | (a ^ b));
        if differing != 0 || tag != TAG_MESSAGE {
            return None;
        }
        cipher.apply_keystream(body);
        self.advance(mac);
        Some(1..body.len().saturating_add(1))
    }

    fn cipher(&self) -> ChaCha20 {
        let mut nonce = [0; 12];
        let bytes = self.counter.to_le_bytes().into_iter().chain(self.inner_nonce);
        nonce.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        ChaCha20::new(&self.key.into(), &nonce.into())
    }

    /// The message's cipher past its first two blocks, the MAC key from the first, and the second over `tag` and zeros.
    fn begin(&self, tag: u8) -> (ChaCha20, [u8; 32], [u8; 64]) {
        let mut cipher = self.cipher();
        let mut blocks = [0; 128];
        blocks[64] = tag;
        // Both at once: the cipher makes several blocks in the time of one.
        cipher.apply_keystream(&mut blocks);
        let mac_key = blocks.first_chunk::<32>().copied().unwrap_or_default();
        (cipher, mac_key, blocks.last_chunk::<64>().copied().unwrap_or([0; 64]))
    }

    fn advance(&mut self, mac: &[u8; 16]) {
        self.inner_nonce.iter_mut().zip(mac).for_each(|(to, from)| *to ^= from);
        self.counter = self.counter.wrapping_add(1);
        if self.counter == 0 {
            self.rekey();
        }
    }

    fn rekey(&mut self) {
        let mut bytes = [0; 40];
        let old = self.key.into_iter().chain(self.inner_nonce);
        bytes.iter_mut().zip(old).for_each(|(to, from)| *to = from);
        self.cipher().apply_keystream(&mut bytes);
        self.key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        self.inner_nonce.iter_mut().zip(bytes.into_iter().skip(32)).for_each(|(to, from)| *to = from);
        self.counter = 1;
    }
}

/// The MAC over the tag's block, the body, libsodium's own padding, and both lengths.
fn authenticate(key: &[u8; 32], tag_block: &[u8; 64], body: &[u8]) -> [u8; 16] {
    let mut mac = Poly1305::new(&(*key).into());
    mac.update(Block::slice_as_chunks(tag_block).0);
    let (blocks, rest) = Block::slice_as_chunks(body);
    mac.update(blocks);
    // The last whole block's rest twice, the second time as zeros, then both lengths: at most 46 bytes.
    let mut tail = [0; 48];
    let lengths = rest.len().saturating_mul(2);
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_add(64);
    let bytes = 0_u64.to_le_bytes().into_iter().chain(length.to_le_bytes());
    tail.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    tail.iter_mut().skip(lengths).zip(bytes).for_each(|(to, from)| *to = from);
    let end = lengths.saturating_add(16);
    mac.compute_unpadded(tail.get(..end).unwrap_or(&tail)).into()
}

const TAG_MESSAGE: u8 = 0;
