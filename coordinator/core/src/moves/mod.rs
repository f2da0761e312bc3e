//! What changes together: each function moves one thing and everything that goes with it. Verbs (`decide`) and what follows by itself
//! (`settle`) are made of these. Which of them may use which is the table of floors in the tidy test.

pub(crate) mod accept;
pub(crate) mod ask;
pub(crate) mod assignment;
pub(crate) mod attempt;
pub(crate) mod base_check;
pub(crate) mod close;
pub(crate) mod contention;
pub(crate) mod cordon;
pub(crate) mod drain;
pub(crate) mod dropped;
pub(crate) mod end;
pub(crate) mod errand;
pub(crate) mod fix;
pub(crate) mod flight;
pub(crate) mod land;
pub(crate) mod lease;
pub(crate) mod loss;
pub(crate) mod merge;
pub(crate) mod orchestrator;
pub(crate) mod outcome;
pub(crate) mod park;
pub(crate) mod peer;
pub(crate) mod plan;
pub(crate) mod reassignment;
pub(crate) mod refusal;
pub(crate) mod retry;
pub(crate) mod review;
pub(crate) mod run;
pub(crate) mod send_back;
pub(crate) mod setback;
pub(crate) mod step;
pub(crate) mod subtasks;
pub(crate) mod unit;
