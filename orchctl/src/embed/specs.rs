//! Plans and first mirror files, computed by the coordinator's library without a coordinator.
