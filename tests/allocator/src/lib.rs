//! The system's allocator, counting the bytes that are in use by each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// To be the `#[global_allocator]` of a test.
pub struct Counting;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // At the end of a thread there is nothing to count any more.
    let _ = IN_USE.try_with(|in_use| in_use.set(in_use.get() + bytes));
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).expect("no allocation is larger")
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What `of` returns, and how many bytes of the heap this thread uses more than before.
pub fn kept<T>(of: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.with(Cell::get);
    let result = of();
    let after = IN_USE.with(Cell::get);
    (result, usize::try_from(after - before).unwrap_or(0))
}
