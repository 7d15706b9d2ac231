//! What other services may ask of sales.

use bahi_proto::sales::v1::{fences_server::FencesServer, reservations_server::ReservationsServer};
use tonic::service::Routes;

use crate::{State, fence, reservation::Server};

/// The gRPC services.
pub(crate) fn routes(state: &State) -> Routes {
    Routes::new(ReservationsServer::new(Server::new(state.clone())))
        .add_service(FencesServer::new(fence::Server::new(state.clone())))
}
