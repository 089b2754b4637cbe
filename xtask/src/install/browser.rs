//! Chromium and its driver.

use super::packages;
use crate::command::find;
use std::path::PathBuf;

/// A browser to test in.
pub(crate) struct Browser {
    /// The browser.
    pub(crate) chromium: PathBuf,
    /// What drives it for wasm-pack.
    pub(crate) chromedriver: PathBuf,
}

/// Chromium and chromedriver, installed if missing.
pub(crate) fn ensure() -> Result<Browser, String> {
    if let Some(browser) = present() {
        return Ok(browser);
    }
    packages::install(&["chromium", "chromium-driver"], "the page and the wasm package are tested in a real browser")?;
    present().ok_or_else(|| "chromium or chromedriver is still not on PATH".to_owned())
}

fn present() -> Option<Browser> {
    let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(find)?;
    Some(Browser { chromium, chromedriver: find("chromedriver")? })
}
