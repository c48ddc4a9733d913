//! Switches the mode of one interface.

use secbeat_edge_core::FilterMode;
use tracing::info;

use super::{EnforcerTask, NotSwitched};
use crate::kernel::primary;

impl EnforcerTask {
    /// Switches one of the protected interfaces, by whichever of its names. Until the next start: then the config holds again.
    pub(super) fn set_interface_mode(
        &mut self,
        interface: &str,
        mode: FilterMode,
    ) -> Result<(), NotSwitched> {
        let kernel = self.surroundings.kernel.as_mut().ok_or(NotSwitched::NoKernel)?;
        let interface = primary(interface);
        let mut protected = self.attachments.iter().map(|attachment| &attachment.interface);
        if !protected.any(|protected| *protected == interface) {
            return Err(NotSwitched::Unknown(interface));
        }
        kernel
            .set_interface_mode(&interface, mode)
            .map_err(|error| NotSwitched::Kernel(format!("{error:#}")))?;
        info!(target: "audit", %interface, %mode, "mode of an interface switched on this host");
        self.look_at_interfaces();
        Ok(())
    }
}
