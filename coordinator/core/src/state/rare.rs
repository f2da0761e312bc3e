//! A part of a record that only some have: it takes a pointer where nothing of it was ever set, and reads as blank there.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// What a part is before anything of it is set.
pub trait Blank: Default + 'static {
    /// The blank one, shared by all.
    fn blank() -> &'static Self;
}

/// A part that is made when it is first changed. Kept as an option of it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// It, if anything of it was ever set: what clears need not make it.
    pub fn made(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Blank> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(made) => made,
            None => T::blank(),
        }
    }
}

impl<T: Blank> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Blank + PartialEq> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Blank + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Blank for u32 {
        fn blank() -> &'static Self {
            &0
        }
    }

    #[test]
    fn what_was_never_set_reads_as_blank_and_equals_what_is_blank_again() {
        let never = Rare::<u32>::default();
        let mut again = never.clone();
        assert_eq!((*never, again.made()), (0, None));
        *again += 1;
        assert_ne!(never, again);
        *again -= 1;
        assert_eq!((&never, again.clone().made()), (&again, Some(&mut 0)));
    }
}
