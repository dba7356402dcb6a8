/* nats_api.h - every function of libnats that host/ calls, once; libnats.natsMsg_Create() is natsMsg_Create(). */
#ifndef STOKE_NATS_API_H
#define STOKE_NATS_API_H

#include <nats/nats.h>

#include "loop/err.h"

#define NATS_FUNCTIONS(X)                                                                                              \
  X(nats_GetLastError)                                                                                                 \
  X(nats_ReleaseThreadMemory)                                                                                          \
  X(nats_GetVersion)                                                                                                   \
  X(natsStatus_GetText)                                                                                                \
  X(natsOptions_Create)                                                                                                \
  X(natsOptions_Destroy)                                                                                               \
  X(natsOptions_SetServers)                                                                                            \
  X(natsOptions_SetName)                                                                                               \
  X(natsOptions_SetTimeout)                                                                                            \
  X(natsOptions_SetSecure)                                                                                             \
  X(natsOptions_SetMaxReconnect)                                                                                       \
  X(natsOptions_SetReconnectWait)                                                                                      \
  X(natsOptions_SetReconnectBufSize)                                                                                   \
  X(natsOptions_SetPingInterval)                                                                                       \
  X(natsOptions_SetMaxPingsOut)                                                                                        \
  X(natsOptions_SetWriteDeadline)                                                                                      \
  X(natsOptions_SetErrorHandler)                                                                                       \
  X(natsOptions_SetDisconnectedCB)                                                                                     \
  X(natsOptions_SetReconnectedCB)                                                                                      \
  X(natsOptions_SetClosedCB)                                                                                           \
  X(natsOptions_SetUserCredentialsFromFiles)                                                                           \
  X(natsOptions_LoadCATrustedCertificates)                                                                             \
  X(natsOptions_LoadCertificatesChain)                                                                                 \
  X(natsConnection_Connect)                                                                                            \
  X(natsConnection_Close)                                                                                              \
  X(natsConnection_Destroy)                                                                                            \
  X(natsConnection_FlushTimeout)                                                                                       \
  X(natsConnection_GetMaxPayload)                                                                                      \
  X(natsConnection_GetConnectedServerId)                                                                               \
  X(natsConnection_HasHeaderSupport)                                                                                   \
  X(natsConnection_PublishMsg)                                                                                         \
  X(natsConnection_Subscribe)                                                                                          \
  X(natsConnection_QueueSubscribe)                                                                                     \
  X(natsSubscription_SetOnCompleteCB)                                                                                  \
  X(natsSubscription_SetPendingLimits)                                                                                 \
  X(natsSubscription_Unsubscribe)                                                                                      \
  X(natsSubscription_Destroy)                                                                                          \
  X(natsMsg_Create)                                                                                                    \
  X(natsMsg_Destroy)                                                                                                   \
  X(natsMsg_GetSubject)                                                                                                \
  X(natsMsg_GetReply)                                                                                                  \
  X(natsMsg_GetData)                                                                                                   \
  X(natsMsg_GetDataLength)                                                                                             \
  X(natsMsgHeader_Set)                                                                                                 \
  X(natsMsgHeader_Get)

#define NATS_MEMBER(name) __typeof__(name) *name;
struct nats_api {
  NATS_FUNCTIONS(NATS_MEMBER)
};
#undef NATS_MEMBER

extern struct nats_api libnats;

/* Before the first call of one; later ones cost a look. False with e filled: libnats is not there. Loop thread only. */
bool nats_api_open(struct err *e);

#endif
