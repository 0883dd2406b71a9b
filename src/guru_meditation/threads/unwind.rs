//! Unwinds the copied stack of a thread with the unwind tables of exceptions.
//!
//! Guarantees that only the copy and the unwind tables are accessed, that tables of shared objects,
//! which may be unloaded at any moment, are copies too, and that every walk ends. Needs no frame
//! pointers. Does not know the names of functions.

#![expect(unsafe_code, reason = "each block has its argument")]

use std::borrow::Cow;
use std::ffi::CStr;
use std::ops::Range;
use std::slice;

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, FrameAddress, MayAllocateDuringUnwind, Module,
    Unwinder, UnwinderNative,
};

use super::capture::Sample;

/// Maximum number of frames of a stack.
pub(in crate::guru_meditation) const FRAMES_MAX: usize = 256;

/// An invalid frame pointer: the library takes 0 as the end of the stack.
const UNKNOWN_FRAME_POINTER: u64 = 8;

/// Maximum number of possible return addresses that are tried.
const SEARCH_WORDS_MAX: u32 = 500;

/// Largest unwind table that is used, in bytes: the largest known ones are a tenth of it.
const TABLE_BYTES_MAX: usize = 256 << 20;

/// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`, the only encoding that linkers use in `.eh_frame_hdr`.
const PCREL_SDATA4: u8 = 0x1b;

/// The program or a shared object that is loaded.
#[derive(Clone, Debug)]
pub(in crate::guru_meditation) struct LoadedObject {
    /// Its file; empty for the program itself.
    pub(in crate::guru_meditation) name: String,
    base: u64,
    code: Range<u64>,
    /// Its build id from the linker, in hexadecimal.
    pub(in crate::guru_meditation) build_id: Option<String>,
}

/// The tables that unwind stacks of this process in its current state.
pub(in crate::guru_meditation) struct UnwindTables {
    unwinder: UnwinderNative<TableBytes, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    objects: Vec<LoadedObject>,
}

/// A table: that of the program is borrowed, all others are copies.
type TableBytes = Cow<'static, [u8]>;

/// Addresses in a stack, innermost first, each as it is resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct StackWalk {
    pub(super) addresses: Vec<u64>,
    /// Whether it ended at the start of the thread.
    pub(super) is_complete: bool,
}

impl UnwindTables {
    /// Loads the tables of all loaded objects.
    pub(in crate::guru_meditation) fn load() -> Self {
        let mut tables = Self {
            unwinder: UnwinderNative::new(),
            cache: CacheNative::new(),
            objects: Vec::new(),
        };
        // SAFETY: the callback has the signature asked for, and `data` is the pointer to `tables`,
        // which lives through the call and which nobody else uses meanwhile.
        unsafe {
            libc::dl_iterate_phdr(Some(add_object), (&raw mut tables).cast());
        }
        tables
    }

    /// The object of an address, and the offset in it.
    pub(in crate::guru_meditation) fn object(&self, address: u64) -> Option<(&LoadedObject, u64)> {
        let found = self.objects.iter().find(|object| object.code.contains(&address))?;
        Some((found, address - found.base))
    }

    /// The build id of the program.
    pub(in crate::guru_meditation) fn own_build_id(&self) -> Option<&str> {
        self.objects.first()?.build_id.as_deref()
    }

    pub(super) fn walk(&mut self, sample: &Sample) -> StackWalk {
        self.walk_from(sample, sample.ip, sample.sp, sample.bp)
    }

    /// Walks a thread that was sampled from outside, without its frame pointer: where the tables
    /// need that, it continues from the first return address in the stack that leads to the start
    /// of the thread, or else farthest.
    pub(super) fn walk_by_search(&mut self, sample: &Sample) -> StackWalk {
        let walk = self.walk_from(sample, sample.ip, sample.sp, UNKNOWN_FRAME_POINTER);
        if walk.is_complete {
            return walk;
        }
        let mut best = StackWalk::default();
        let mut tried = 0;
        for (at, word) in sample.stack.chunks_exact(8).enumerate() {
            let word = word.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
            // A return address follows a call, in loaded code.
            if self.object(word.wrapping_sub(1)).is_none() {
                continue;
            }
            tried += 1;
            let above = sample.sp.saturating_add(8 * (at as u64 + 1));
            let mut found = self.walk_from(sample, word, above, UNKNOWN_FRAME_POINTER);
            if let Some(first) = found.addresses.first_mut() {
                *first = first.wrapping_sub(1);
            }
            let is_better = found.is_complete || found.addresses.len() > best.addresses.len();
            if is_better && found.addresses.len() > 1 {
                best = found;
            }
            if best.is_complete || tried == SEARCH_WORDS_MAX {
                break;
            }
        }
        let mut addresses = walk.addresses;
        // Frames that the search found again are listed once.
        let known =
            best.addresses.first().and_then(|first| addresses.iter().position(|it| it == first));
        addresses.truncate(known.unwrap_or(addresses.len()));
        addresses.extend(best.addresses);
        addresses.truncate(FRAMES_MAX);
        StackWalk { addresses, is_complete: best.is_complete }
    }

    fn walk_from(&mut self, sample: &Sample, ip: u64, sp: u64, bp: u64) -> StackWalk {
        let Self { unwinder, cache, .. } = self;
        let mut read = |address: u64| {
            let at = address.checked_sub(sample.sp).and_then(|at| usize::try_from(at).ok());
            let word = at.and_then(|at| sample.stack.get(at..)?.first_chunk::<8>());
            word.map(|word| u64::from_ne_bytes(*word)).ok_or(())
        };
        let registers = registers(ip, sp, bp);
        let mut frames = unwinder.iter_frames(ip, registers, cache, &mut read);
        let mut walk = StackWalk::default();
        while walk.addresses.len() < FRAMES_MAX {
            match frames.next() {
                Ok(Some(frame)) => walk.addresses.push(FrameAddress::address_for_lookup(frame)),
                Ok(None) => {
                    walk.is_complete = true;
                    break;
                }
                Err(_) => break,
            }
        }
        walk
    }
}

#[cfg(target_arch = "x86_64")]
fn registers(ip: u64, sp: u64, bp: u64) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(ip, sp, bp)
}

#[cfg(target_arch = "aarch64")]
fn registers(_: u64, sp: u64, bp: u64) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(0, sp, bp)
}

/// Called for each loaded object; the loader holds its lock meanwhile, so none is unloaded.
unsafe extern "C" fn add_object(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader gives a valid `info`; `data` is what `UnwindTables::load` passed, exclusively.
    let (info, tables) = unsafe { (&*info, &mut *data.cast::<UnwindTables>()) };
    let is_program = tables.objects.is_empty();
    // SAFETY: the loader's name and headers are valid for the call; a null name is empty.
    let (name, headers) = unsafe {
        let name = if info.dlpi_name.is_null() { c"" } else { CStr::from_ptr(info.dlpi_name) };
        (name, slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    let base = info.dlpi_addr;
    let range_of = |header: &libc::Elf64_Phdr| {
        let begin = base.wrapping_add(header.p_vaddr);
        begin..begin.saturating_add(header.p_memsz)
    };
    let of_type = |wanted| headers.iter().filter(move |header| header.p_type == wanted);
    let is_code = |header: &&libc::Elf64_Phdr| header.p_flags & libc::PF_X != 0;
    let code = of_type(libc::PT_LOAD).filter(is_code).map(range_of);
    let Some(code) = code.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end))
    else {
        return 0;
    };
    let build_id = of_type(libc::PT_NOTE).map(range_of).find_map(|notes| {
        // SAFETY: a note segment lies within a loaded segment of this object, which stays loaded
        // during the call.
        build_id(unsafe { bytes(notes)? })
    });
    let name = name.to_string_lossy().into_owned();
    let index = of_type(libc::PT_GNU_EH_FRAME).map(range_of).next();
    if let Some(index) = index {
        let segments = of_type(libc::PT_LOAD).map(range_of);
        // SAFETY: as for the notes; the program itself is never unloaded.
        let sections = unsafe { unwind_sections(base, index, segments, is_program) };
        if let Some(sections) = sections {
            let module = Module::new(name.clone(), code.clone(), base, sections);
            tables.unwinder.add_module(module);
        }
    }
    tables.objects.push(LoadedObject { name, base, code, build_id });
    0
}

/// The unwind table of an object, found by its index.
///
/// # Safety
///
/// `index` and `segments` are loaded, readable memory of one object; for ever, if `stays`.
unsafe fn unwind_sections(
    base: u64,
    index: Range<u64>,
    mut segments: impl Iterator<Item = Range<u64>>,
    stays: bool,
) -> Option<ExplicitModuleSectionInfo<TableBytes>> {
    // SAFETY: as promised by the caller.
    let index_bytes = unsafe { bytes(index.clone())? };
    let [_version, PCREL_SDATA4, _, _, offset @ ..] = index_bytes.first_chunk::<8>()? else {
        return None;
    };
    let offset = i64::from(i32::from_ne_bytes(*offset));
    let table_begin = index.start.checked_add(4)?.checked_add_signed(offset)?;
    // The table contains its end marker; the end of the segment is a bound.
    let table = table_begin..segments.find(|segment| segment.contains(&table_begin))?.end;
    // SAFETY: as promised by the caller; the table lies in one of the segments.
    let table_bytes = unsafe { bytes(table.clone())? };
    let stored = |bytes: &'static [u8]| {
        if stays {
            return Some(Cow::Borrowed(bytes));
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).ok()?;
        copy.extend_from_slice(bytes);
        Some(Cow::Owned(copy))
    };
    let stated = |range: Range<u64>| range.start - base..range.end - base;
    Some(ExplicitModuleSectionInfo {
        base_svma: 0,
        eh_frame_svma: Some(stated(table)),
        eh_frame: Some(stored(table_bytes)?),
        eh_frame_hdr_svma: Some(stated(index)),
        eh_frame_hdr: Some(stored(index_bytes)?),
        ..ExplicitModuleSectionInfo::default()
    })
}

/// Memory as bytes.
///
/// # Safety
///
/// It is loaded and readable for as long as the bytes are used, and nobody writes to it.
unsafe fn bytes(range: Range<u64>) -> Option<&'static [u8]> {
    let begin = usize::try_from(range.start).ok().filter(|begin| *begin != 0)?;
    let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
    if length > TABLE_BYTES_MAX {
        return None;
    }
    // SAFETY: as promised by the caller.
    Some(unsafe { slice::from_raw_parts(begin as *const u8, length) })
}

/// Returns free memory to the system.
pub(super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The GNU build id in a segment of notes.
fn build_id(mut notes: &[u8]) -> Option<String> {
    const GNU_BUILD_ID: u32 = 3;
    loop {
        let (header, rest) = notes.split_first_chunk::<12>()?;
        let word =
            |at: usize| header[at..].first_chunk::<4>().map(|word| u32::from_ne_bytes(*word));
        let (name_size, size, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let (name, rest) = rest.split_at_checked(name_size.next_multiple_of(4))?;
        let content = rest.get(..size)?;
        if kind == GNU_BUILD_ID && name.starts_with(b"GNU\0") {
            return Some(content.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = rest.get(size.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let mut notes = Vec::new();
        for (name, kind, content) in
            [(&b"GNU\0"[..], 1_u32, &[1, 2, 3][..]), (b"GNU\0", 3, &[0xab, 1])]
        {
            for word in
                [u32::try_from(name.len()).unwrap(), u32::try_from(content.len()).unwrap(), kind]
            {
                notes.extend(word.to_ne_bytes());
            }
            notes.extend(name);
            notes.extend(content);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(build_id(&notes).as_deref(), Some("ab01"));
        assert_eq!(build_id(&notes[..16]), None, "cut short");
        assert_eq!(build_id(&[0xff; 40]), None, "sizes beyond all bounds");
    }

    #[test]
    fn own_code_is_found_in_the_program() {
        let tables = UnwindTables::load();
        let here = own_code_is_found_in_the_program as fn() as usize as u64;
        let (object, at) = tables.object(here).expect("an object");
        assert_eq!(object.name, "");
        assert!(at < here);
        assert!(tables.objects.iter().any(|object| object.name.contains("libc.so")));
    }
}
