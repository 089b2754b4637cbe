//! Nodes of the DHT, kept in a file for the next start: one address a line, the one heard of last first.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddrV4;
use std::path::Path;

/// The nodes in a file; what cannot be read is left out.
pub(super) fn read(file: &Path) -> Vec<SocketAddrV4> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    let lines = read.is_ok().then(|| text.lines()).into_iter().flatten();
    lines.filter_map(|line| line.trim().parse().ok()).take(LIMIT).collect()
}

/// Replaces the file as a whole. Without nodes the old ones stay.
pub(super) fn write(file: &Path, nodes: &[SocketAddrV4]) -> io::Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let lines: String = nodes.iter().take(LIMIT).map(|node| format!("{node}\n")).collect();
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = file.with_extension("new");
    fs::write(&fresh, lines)?;
    fs::rename(&fresh, file)
}

/// Nodes kept.
pub(super) const LIMIT: usize = 200;
const MAX_BYTES: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_garbage_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below").join("nodes");
        assert!(read(&file).is_empty());
        let nodes: Vec<SocketAddrV4> = vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        write(&file, &nodes).unwrap();
        write(&file, &[]).unwrap();
        assert_eq!(read(&file), nodes);
        fs::write(&file, "127.0.0.1:7\nnonsense\n300.0.0.1:2\n[::1]:4\n").unwrap();
        assert_eq!(read(&file), ["127.0.0.1:7".parse().unwrap()]);
        fs::write(&file, [0xff; 100]).unwrap();
        assert!(read(&file).is_empty());
        fs::write(&file, "127.0.0.1:7\n".repeat(100_000)).unwrap();
        assert_eq!(read(&file).len(), LIMIT);
    }
}
