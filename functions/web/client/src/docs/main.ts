/** The browsable page of the HTTP API: Swagger UI over this server's own /openapi.json. */
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

SwaggerUI({
  dom_id: "#docs",
  url: "/openapi.json",
  deepLinking: true,
  // The validator badge would send the document's address to a public service.
  validatorUrl: null,
});
