//! Static lists at L7.

use tracing::error;

use super::{EnforcerTask, KernelSide};
use crate::{kernel::ListTables, l7::Listed};

impl EnforcerTask {
    /// Has the HTTP side go by the static lists in force: it sees clients that the kernel does not.
    pub(super) fn show_lists(&self) {
        let kernel = self.surroundings.kernel.as_ref();
        let lists = kernel.map_or(Ok(None), KernelSide::lists_in_force);
        let lists = lists.unwrap_or_else(|error| {
            error!("static lists do not hold for clients that proxies name: {error:#}");
            None
        });
        let listed = |lists: ListTables| Listed(Box::new(move |address, now| lists.lists_of(address, now)));
        self.surroundings.http.set_lists(lists.map(listed));
    }
}
