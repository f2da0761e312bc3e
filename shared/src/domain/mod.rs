//! Domain types: plain data with the words of the glossary. Rules live in the core; wire and mirror forms live at the edges.

mod access;
mod attempt;
mod change;
mod decision;
mod fleet;
mod label;
mod options;
mod review;
mod standing;
mod turn;
mod unit;

pub use access::*;
pub use attempt::*;
pub use change::*;
pub use decision::*;
pub use fleet::*;
pub use label::*;
pub use options::*;
pub use review::*;
pub use standing::*;
pub use turn::*;
pub use unit::*;
