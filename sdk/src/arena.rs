//! The allocator of components: it gives out a part of the memory that every instance begins
//! with, and asks for more only when that is full. An instance lives for one call; the kernel's
//! work for a memory that grows costs more than most calls do.
#![expect(unsafe_code, reason = "an allocator hands out memory")]

use std::{alloc::Layout, arch::wasm32::memory_grow, mem::MaybeUninit, ptr::NonNull};

use talc::{
    base::{Talc, binning::Binning},
    cell::TalcSyncCell,
    source::Source,
    wasm::WasmBinning,
};

/// Enough for the calls of most tools. Pages that a call does not touch cost nothing.
const SIZE: usize = 448 * 1024;
/// Of WebAssembly, in bytes.
const PAGE: usize = 64 * 1024;
/// Pages that the memory grows by at least, so that it grows seldom.
const STEP: usize = 16;

static mut ARENA: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<ArenaFirst, WasmBinning> =
    TalcSyncCell::new_wasm(ArenaFirst { claimed: false, end: None });

/// Gives the arena, then whatever the memory grows by.
#[derive(Debug)]
struct ArenaFirst {
    claimed: bool,
    /// Where the pages end that the memory grew by, if nobody else has grown it meanwhile.
    end: Option<NonNull<u8>>,
}

// SAFETY: it allocates nothing by itself, and does not touch the allocator around `talc`.
unsafe impl Source for ArenaFirst {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !std::mem::replace(&mut talc.source.claimed, true) {
            // SAFETY: nobody else uses the arena, and it is claimed once.
            return unsafe { talc.claim((&raw mut ARENA).cast(), SIZE) }.map(drop).ok_or(());
        }
        // Half a page for what the allocator itself needs.
        let needed = layout.size().saturating_add(layout.align()).saturating_add(PAGE / 2);
        let pages = needed.div_ceil(PAGE).max(STEP);
        let base = match memory_grow::<0>(pages) {
            usize::MAX => return Err(()),
            before => (before * PAGE) as *mut u8,
        };
        talc.source.end = match talc.source.end.filter(|end| end.as_ptr() == base) {
            // So that what was freed at the end of the old pages and the new ones are one piece.
            // SAFETY: `end` is what the allocator gave, and the pages did not exist before.
            Some(end) => Some(unsafe { talc.extend(end, base.wrapping_add(pages * PAGE)) }),
            // SAFETY: the pages did not exist before.
            None => unsafe { talc.claim(base, pages * PAGE) },
        };
        talc.source.end.map(drop).ok_or(())
    }
}
