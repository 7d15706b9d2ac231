//! What other services may ask of sales.

use bahi_proto::sales::v1::reservations_server::ReservationsServer;
use tonic::service::Routes;

use crate::{State, reservation::Server};

/// The gRPC services.
pub(crate) fn routes(state: &State) -> Routes {
    Routes::new(ReservationsServer::new(Server::new(state.clone())))
}
