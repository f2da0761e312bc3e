//! What readers get of a core: copies that share what did not change with the core and with each other. When one is made is for whoever drives the core to
//! say, who alone knows what is durable (I14).

use std::sync::Arc;

use roundtable_shared::RunId;

use crate::core::Core;
use crate::state::State;

/// Makes the copies. It keeps the last one, so that runs that did not change since are taken over from there; the core's own are never shared, which is
/// what lets the fold change them in place.
#[derive(Debug, Default)]
pub struct Publisher {
    state: State,
}

impl Publisher {
    /// A copy of the whole core, for the first time.
    pub fn start(&mut self, core: &Core) -> Core {
        self.publish(core, core.state.runs.keys())
    }

    /// A copy of the core in which the facts since the last one concern these runs. Costs what they changed, and a copy of each run without its units.
    pub fn publish<'a>(&mut self, core: &Core, changed: impl IntoIterator<Item = &'a RunId>) -> Core {
        let mut runs = std::mem::take(&mut self.state.runs);
        for id in changed {
            if let Some(run) = core.state.run(id) {
                runs.insert(id.clone(), Arc::new(run.clone()));
            }
        }
        self.state = State { runs, ..core.state.clone() };
        core.with_state(self.state.clone())
    }

    /// The state of the last copy.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The last copy with the fleet as it is now: while nothing can be made durable, signs of life are seen all the same.
    pub fn publish_fleet(&self, core: &Core) -> Core {
        core.with_state(self.state.clone())
    }
}
