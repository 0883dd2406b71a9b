//! Resolves addresses to functions and source lines.
//!
//! Guarantees a result for every address: without debug information, or without the memory to read
//! it, the object and the offset in it, which tools can resolve. Names are full paths without hash.
//! A source line is shown only if the file is not newer than the program. [`clear_cache`] frees the
//! debug information. Does not know threads.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::debug_size;
use super::unwind::{UnwindTables, trim_heap};
use crate::guru_meditation::memory_check;
use crate::guru_meditation::stack::Frame;

/// Largest source file that is read, in bytes.
const SOURCE_BYTES_MAX: u64 = 1 << 20;

/// Maximum number of source files cached during a report.
const SOURCES_MAX: usize = 256;

/// Maximum length of a function name, in bytes; those of nested futures are unbounded.
const NAME_BYTES_MAX: usize = 240;

/// Below this function are only frames of the thread's start.
const THREAD_ENTRY: &str = "__rust_begin_short_backtrace";

/// Whether debug information is read and cached.
static IS_CACHED: AtomicBool = AtomicBool::new(false);

/// Symbols of addresses, each resolved once.
pub(in crate::guru_meditation) struct Symbols {
    known: HashMap<u64, Vec<Frame>>,
    sources: HashMap<String, Option<Arc<[Box<str>]>>>,
    built_at: Option<SystemTime>,
    /// Why no more symbols are resolved.
    lack: Option<String>,
}

impl Symbols {
    pub(in crate::guru_meditation) fn new() -> Self {
        let own = std::env::current_exe()
            .and_then(|path| Ok((fs::metadata(&path)?, debug_size::decompressed(&path))));
        let lack = match &own {
            // What is read once is kept for the next.
            Ok(_) if IS_CACHED.load(Ordering::Acquire) => None,
            Ok((own, more)) => memory_check::for_names(own.len().saturating_add(*more)).err(),
            Err(error) => Some(format!("/proc/self/exe can't be read: {error}")),
        };
        let built = own.and_then(|(own, _)| own.modified()).ok();
        Self { known: HashMap::new(), sources: HashMap::new(), built_at: built, lack }
    }

    /// Why symbols are missing.
    pub(in crate::guru_meditation) fn lack(&self) -> Option<String> {
        let why = self.lack.as_ref()?;
        Some(format!("names of functions are left out: {why}"))
    }

    /// The frames of a stack, outermost first, and whether the outermost is the function of the
    /// thread.
    pub(in crate::guru_meditation) fn frames(
        &mut self,
        addresses: &[u64],
        tables: &UnwindTables,
    ) -> (Vec<Frame>, bool) {
        let mut frames = Vec::with_capacity(addresses.len());
        let mut is_from_beginning = false;
        for address in addresses {
            let here = self.frames_at(*address, tables);
            let begins = here.iter().position(|frame| frame.name.contains(THREAD_ENTRY));
            frames.extend(here[..begins.unwrap_or(here.len())].iter().cloned());
            if begins.is_some() {
                is_from_beginning = true;
                break;
            }
        }
        frames.reverse();
        (frames, is_from_beginning)
    }

    /// The functions at an address, inlined ones first.
    fn frames_at(&mut self, address: u64, tables: &UnwindTables) -> &[Frame] {
        if !self.known.contains_key(&address) {
            let frames = self.look_up(address, tables);
            self.known.insert(address, frames);
        }
        self.known.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    fn look_up(&mut self, address: u64, tables: &UnwindTables) -> Vec<Frame> {
        let mut found = Vec::new();
        if self.lack.is_none() {
            self.lack = memory_check::for_name().err();
        }
        if self.lack.is_none() {
            IS_CACHED.store(true, Ordering::Release);
            // The crate resolves one byte below the given address, as for a return address.
            let after = address.wrapping_add(1) as *mut std::ffi::c_void;
            backtrace::resolve(after, |symbol| {
                let name = symbol.name().map(|name| truncate_name(format!("{name:#}")));
                let file = symbol.filename().map(|file| file.display().to_string());
                found.push((name, file, symbol.lineno()));
            });
        }
        if found.is_empty() {
            found.push((None, None, None));
        }
        let location = tables.object(address);
        found
            .into_iter()
            .map(|(name, file, line)| {
                let name = name.unwrap_or_else(|| "?".to_owned());
                let (Some(filename), Some(line)) = (file, line) else {
                    return without_source(name, address, location.map(|(it, at)| (&*it.name, at)));
                };
                let code = self.source_line(&filename, line);
                Frame { filename, line: line.to_string(), name, code }
            })
            .collect()
    }

    fn source_line(&mut self, file: &str, line: u32) -> Option<String> {
        if !self.sources.contains_key(file) {
            if self.sources.len() >= SOURCES_MAX {
                return None;
            }
            self.sources.insert(file.to_owned(), self.source(Path::new(file)));
        }
        let lines = self.sources.get(file)?.as_ref()?;
        let line = usize::try_from(line).ok()?.checked_sub(1)?;
        Some(lines.get(line)?.trim().to_owned())
    }

    /// The lines of a file, if it is the compiled version.
    fn source(&self, path: &Path) -> Option<Arc<[Box<str>]>> {
        let found = fs::metadata(path).ok()?;
        let is_read = found.is_file() && found.len() <= SOURCE_BYTES_MAX;
        if !is_read || !path.is_absolute() || found.modified().ok()? > self.built_at? {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        Some(text.lines().map(Box::from).collect())
    }
}

/// Frees the cached debug information: tens of megabytes.
pub(in crate::guru_meditation) fn clear_cache() {
    IS_CACHED.store(false, Ordering::Release);
    backtrace::clear_symbol_cache();
    trim_heap();
}

fn without_source(name: String, address: u64, location: Option<(&str, u64)>) -> Frame {
    let (filename, line) = match location {
        Some(("", at)) => (own_path(), format!("{at:#x}")),
        Some((object, at)) => (object.to_owned(), format!("{at:#x}")),
        None => ("?".to_owned(), format!("{address:#x}")),
    };
    Frame { filename, line, name, code: None }
}

/// The path of the program.
pub(super) fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "?".to_owned(), |path| path.display().to_string())
}

fn truncate_name(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        name.push_str("...");
    }
    name
}
