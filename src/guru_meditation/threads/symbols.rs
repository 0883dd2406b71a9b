//! Names the function and the source line of an address.
//!
//! Guarantees an answer for every address: without debug information, or without the memory to read
//! it, the object and the place in it, from which tools can tell the rest. Names are whole paths without hash. A line of the source is
//! shown only if the file is not newer than the program. What is kept of debug information goes with
//! [`forget`].

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::debug_size;
use super::unwind::{Tables, trim_heap};
use crate::guru_meditation::room;
use crate::guru_meditation::stack::Frame;

/// Largest source file read, in bytes.
const SOURCE_BYTES_MAX: u64 = 1 << 20;

/// Most source files kept during a report.
const SOURCES_MAX: usize = 256;

/// Longest function name shown, in bytes; those of nested futures have no end.
const NAME_BYTES_MAX: usize = 240;

/// Below it lie only the frames by which a thread begins.
const THREAD_BEGINS: &str = "__rust_begin_short_backtrace";

/// Debug information is read and kept.
static IS_READ: AtomicBool = AtomicBool::new(false);

/// Names for addresses, each looked up once.
pub(in crate::guru_meditation) struct Symbols {
    known: HashMap<u64, Vec<Frame>>,
    sources: HashMap<String, Option<Arc<[Box<str>]>>>,
    built: Option<SystemTime>,
    /// Why no more names are looked up.
    lack: Option<String>,
}

impl Symbols {
    pub(in crate::guru_meditation) fn new() -> Self {
        let own = std::env::current_exe()
            .and_then(|path| Ok((fs::metadata(&path)?, debug_size::decompressed(&path))));
        let lack = match &own {
            // What is read once is kept for the next.
            Ok(_) if IS_READ.load(Ordering::Acquire) => None,
            Ok((own, more)) => room::for_names(own.len().saturating_add(*more)).err(),
            Err(error) => Some(format!("/proc/self/exe can't be read: {error}")),
        };
        let built = own.and_then(|(own, _)| own.modified()).ok();
        Self { known: HashMap::new(), sources: HashMap::new(), built, lack }
    }

    /// Why some names are missing.
    pub(in crate::guru_meditation) fn lack(&self) -> Option<String> {
        let why = self.lack.as_ref()?;
        Some(format!("names of functions are left out: {why}"))
    }

    /// The frames of a stack, from the outermost to the innermost, and whether the outermost is the
    /// thread's own function.
    pub(in crate::guru_meditation) fn frames(
        &mut self,
        addresses: &[u64],
        tables: &Tables,
    ) -> (Vec<Frame>, bool) {
        let mut frames = Vec::with_capacity(addresses.len());
        let mut is_from_beginning = false;
        for address in addresses {
            let here = self.at(*address, tables);
            let begins = here.iter().position(|frame| frame.name.contains(THREAD_BEGINS));
            frames.extend(here[..begins.unwrap_or(here.len())].iter().cloned());
            if begins.is_some() {
                is_from_beginning = true;
                break;
            }
        }
        frames.reverse();
        (frames, is_from_beginning)
    }

    /// The functions at an address, those inlined first.
    fn at(&mut self, address: u64, tables: &Tables) -> &[Frame] {
        if !self.known.contains_key(&address) {
            let frames = self.look_up(address, tables);
            self.known.insert(address, frames);
        }
        self.known.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    fn look_up(&mut self, address: u64, tables: &Tables) -> Vec<Frame> {
        let mut found = Vec::new();
        if self.lack.is_none() {
            self.lack = room::for_name().err();
        }
        if self.lack.is_none() {
            IS_READ.store(true, Ordering::Release);
            // The crate looks one byte below what it is given, as if it were a return address.
            let after = address.wrapping_add(1) as *mut std::ffi::c_void;
            backtrace::resolve(after, |symbol| {
                let name = symbol.name().map(|name| short(format!("{name:#}")));
                let file = symbol.filename().map(|file| file.display().to_string());
                found.push((name, file, symbol.lineno()));
            });
        }
        if found.is_empty() {
            found.push((None, None, None));
        }
        let place = tables.object(address);
        found
            .into_iter()
            .map(|(name, file, line)| {
                let name = name.unwrap_or_else(|| "?".to_owned());
                let (Some(filename), Some(line)) = (file, line) else {
                    return without_source(name, address, place.map(|(it, at)| (&*it.name, at)));
                };
                let code = self.code(&filename, line);
                Frame { filename, line: line.to_string(), name, code }
            })
            .collect()
    }

    fn code(&mut self, file: &str, line: u32) -> Option<String> {
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

    /// The file's lines, if they are those that were compiled.
    fn source(&self, path: &Path) -> Option<Arc<[Box<str>]>> {
        let found = fs::metadata(path).ok()?;
        let is_read = found.is_file() && found.len() <= SOURCE_BYTES_MAX;
        if !is_read || !path.is_absolute() || found.modified().ok()? > self.built? {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        Some(text.lines().map(Box::from).collect())
    }
}

/// Gives back what looking up names has taken: tens of megabytes of debug information.
pub(in crate::guru_meditation) fn forget() {
    IS_READ.store(false, Ordering::Release);
    backtrace::clear_symbol_cache();
    trim_heap();
}

fn without_source(name: String, address: u64, place: Option<(&str, u64)>) -> Frame {
    let (filename, line) = match place {
        Some(("", at)) => (own_name(), format!("{at:#x}")),
        Some((object, at)) => (object.to_owned(), format!("{at:#x}")),
        None => ("?".to_owned(), format!("{address:#x}")),
    };
    Frame { filename, line, name, code: None }
}

/// The program's own file.
pub(super) fn own_name() -> String {
    std::env::current_exe().map_or_else(|_| "?".to_owned(), |path| path.display().to_string())
}

fn short(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        name.push_str("...");
    }
    name
}
