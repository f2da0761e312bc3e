//! Links of workers without a worker: idle sessions of the real protocol, and bare streams as the floor that they are held against.

pub mod bare;
pub mod idle;
