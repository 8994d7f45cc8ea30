//! The allocator of components: it gives out a part of the memory that every instance begins
//! with, and asks for more only when that is full. An instance lives for one call; the kernel's
//! work for a memory that grows costs more than most calls do.
#![expect(unsafe_code, reason = "an allocator hands out memory")]

use std::{alloc::Layout, arch::wasm32::memory_grow, mem::MaybeUninit};

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
static ALLOCATOR: TalcSyncCell<ArenaFirst, WasmBinning> = TalcSyncCell::new_wasm(ArenaFirst { claimed: false });

/// Gives the arena, then whatever the memory grows by.
#[derive(Debug)]
struct ArenaFirst {
    claimed: bool,
}

// SAFETY: it allocates nothing by itself, and does not touch the allocator around `talc`.
unsafe impl Source for ArenaFirst {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let (base, size) = if std::mem::replace(&mut talc.source.claimed, true) {
            // Half a page for what the allocator itself needs.
            let needed = layout.size().saturating_add(layout.align()).saturating_add(PAGE / 2);
            let pages = needed.div_ceil(PAGE).max(STEP);
            match memory_grow::<0>(pages) {
                usize::MAX => return Err(()),
                before => ((before * PAGE) as *mut u8, pages * PAGE),
            }
        } else {
            ((&raw mut ARENA).cast(), SIZE)
        };
        // SAFETY: nobody else uses the arena, which is claimed once, or pages that did not exist.
        unsafe { talc.claim(base, size) }.map(drop).ok_or(())
    }
}
